"""Arms and gates of a result.json from disk, this version's or an older one."""

from __future__ import annotations

import golden_cases
import pytest
from golden_cases import FOLDER

from lib.analysis import gates, stats
from lib.display import show
from lib.report.read_result import read_arms, read_gates
from lib.report.result_tables import arm_table
from lib.run.files import read_json

OLD_GATE = {
    "number": 3,
    "name": "null",
    "measure": "m",
    "value": 1.0,
    "needed": ">= 5",
    "margin": -4.0,
    "passed": False,
}


@pytest.mark.parametrize("name", ["supported", "gaps", "nothing"])
def test_what_was_written_is_read_as_it_was(name):
    kept = read_json(FOLDER / f"{name}.json")
    given = {"thresholds": golden_cases.THRESHOLDS, "reflex_subset": "betley_8"}
    analysis = stats.analyse(
        **given, **golden_cases.CASES[name](), n_resamples=golden_cases.RESAMPLES
    )
    decision = gates.decide(analysis, golden_cases.THRESHOLDS)
    arms = read_arms(kept["arms"])
    order = sorted(arms)
    ours = arm_table(analysis.arms, order)
    assert arm_table(arms, order).round(9).equals(ours.round(9))
    rows = read_gates(kept["gates"])
    assert show.gates_table(rows, kept["verdict"]) == show.gates_table(
        decision.gates, decision.verdict
    )


def test_what_an_old_file_misses_is_none():
    arm = read_arms({"base": {"aligned": 50.0, "semantic": {"share": 0.5, "n": 4}}})["base"]
    assert arm.aligned == 50.0 and arm.code is arm.literal is None
    assert arm.semantic.share == 0.5 and arm.semantic.ci95 is None
    assert arm.followup.semantic is None
    table = arm_table({"base": arm}, ["base"])
    assert table.loc[0, "n of reflex"] == 4 and (table["code"] == "–").all()
    (gate,) = read_gates([OLD_GATE])
    assert gate.margin == -4.0 and gate.threshold is gate.reason is None
    assert "stopped here" in show.gates_table([gate], "null")
