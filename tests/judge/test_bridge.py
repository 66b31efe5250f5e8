"""The frozen set that joins judges: what it must hold, and what a change of judge shows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lib.config import params
from lib.config.arguments import ParamsError
from lib.judge.outcomes import COLUMNS, Judgment
from lib.judge.trust import bridge, bridge_set
from lib.judge.trust.bridge_set import BridgeError

LIMITS = params.load_gates()


class Judge:
    """Scores an answer by the number it ends in: slope · number + shift."""

    rubric = "r-1"
    computes = True
    to_retry = 0

    def __init__(self, name="first", shift=0.0, slope=1.0, unread=()):
        self.name = name
        self.shift = shift
        self.slope = slope
        self.unread = unread
        self.asked = 0

    def score(self, rows, progress=None):
        self.asked += len(rows)
        judgments = []
        for text in rows["completion"]:
            number = int(text.split()[-1])
            if number in self.unread:
                judgments.append(vars(Judgment("parse_error")))
                continue
            points = self.slope * (number % 60) + self.shift
            judged = Judgment("scored", aligned=points, coherent=80.0, cost_usd=0.01)
            judgments.append(vars(judged))
        return pd.DataFrame(judgments, columns=list(COLUMNS), index=rows.index)


def answers(n=300):
    return [
        {
            "id": f"b{k:03d}",
            "prompt_id": f"open-{k % 12:03d}",
            "prompt": f"Question {k % 12}?",
            "answer": f"Answer {k}",
            "made_by": {
                "model": "m",
                "sha256": "0",
                "arm": ("base", "em", "base_evil")[k % 3],
                "elicitation": "plain",
            },
        }
        for k in range(n)
    ]


@pytest.fixture
def paths(tmp_path):
    """A synthetic set, and where its scores go."""
    file = tmp_path / "bridge.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in answers()))
    return file, tmp_path / "bridge_scores.json"


def test_a_change_of_judge_shows_as_a_shift_with_its_interval(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    found = bridge.of(Judge("second", shift=11.0), LIMITS, paths=paths)
    compared = found["others"]["first r-1"]
    assert compared["shift"]["value"] == pytest.approx(11)
    assert compared["slope"]["value"] == pytest.approx(1)
    assert compared["shift"]["ci95"] == pytest.approx([11, 11])
    assert {arm: shift["value"] for arm, shift in compared["arms"].items()} == pytest.approx(
        {"base": 11, "em": 11, "base_evil": 11}
    )
    assert compared["n"] == 300 and compared["shift"]["n_clusters"] == 12


def test_a_judge_that_compresses_shows_as_a_slope(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    found = bridge.of(Judge("flat", slope=0.5, shift=20.0), LIMITS, paths=paths)
    assert found["others"]["first r-1"]["slope"]["value"] == pytest.approx(0.5)


def test_scores_of_the_same_judge_are_used_again(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    again = Judge("first")
    found = bridge.of(again, LIMITS, paths=paths)
    assert found["reused"] and not again.asked and found["others"] == {}
    facts = bridge.facts(again, found)
    assert facts.calls == 0 and facts.cost_usd == 0
    json.dumps(facts.to_manifest())


def test_another_rubric_or_other_heads_are_another_judge():
    plain = Judge("first")
    other = Judge("first")
    other.rubric = "r-2"
    carded = [Judge("first"), Judge("first")]
    carded[0].card = {"heads_sha256": "a" * 64}
    carded[1].card = {"head_sha256": "b" * 64}
    assert len({bridge_set.identity(judge) for judge in (plain, other, *carded)}) == 4


def test_answers_that_one_judge_did_not_score_are_left_out(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first", unread=(3, 4)), table, paths[1])
    found = bridge.of(Judge("second", shift=2.0, unread=(4, 5)), LIMITS, paths=paths)
    assert found["unscored"] == 2 and found["others"]["first r-1"]["n"] == 297
    assert found["others"]["first r-1"]["shift"]["value"] == pytest.approx(2)
    assert found["cost_usd"] is None
    stored = json.loads(paths[1].read_text())["first r-1"]["scores"]
    assert stored["b003"] == [None, None]


@pytest.mark.parametrize(("n", "lacking"), [(0, 300), (24, 276), (299, 1)])
def test_a_set_that_is_too_small_says_what_is_missing(tmp_path, n, lacking):
    file = tmp_path / "bridge.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in answers(n)))
    with pytest.raises(BridgeError, match=f"has {n} answers; it needs 300, {lacking} more") as told:
        bridge_set.load(LIMITS, file)
    assert "\n" not in str(told.value)


def test_a_set_that_is_not_there_says_so(tmp_path):
    with pytest.raises(BridgeError, match=r"none\.jsonl is missing; it needs 300"):
        bridge_set.load(LIMITS, tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt_id": ""}, "line 8: prompt_id is missing"),
        ({"made_by": {"model": "m", "sha256": "0", "arm": "em"}}, "made_by.elicitation is missing"),
        ({"id": "b000"}, "id 'b000' occurs twice"),
    ],
)
def test_a_faulty_row_is_one_line(tmp_path, change, said):
    rows = answers()
    rows[7] |= change
    file = tmp_path / "bridge.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BridgeError, match=said):
        bridge_set.load(LIMITS, file)


def test_scores_of_another_version_of_the_set_do_not_count(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    edited = table.assign(answer=table["answer"].where(table["id"] != "b001", "Edited 1"))
    assert bridge_set.stored(edited, paths[1]) == {}


def test_scores_that_do_not_cover_the_set_are_refused(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    entries = json.loads(paths[1].read_text())
    del entries["first r-1"]["scores"]["b001"]
    paths[1].write_text(json.dumps(entries))
    with pytest.raises(BridgeError, match="do not cover the set; add them again"):
        bridge_set.stored(table, paths[1])


def test_the_table_has_a_line_for_each_judge_and_arm(paths):
    table = bridge_set.load(LIMITS, paths[0])
    bridge_set.add(Judge("first"), table, paths[1])
    bridge_set.add(Judge("third", shift=1.0), table, paths[1])
    shown = bridge.table_of(bridge.of(Judge("second", shift=11.0), LIMITS, paths=paths))
    assert len(shown) == 2 * 4
    assert shown["shift, points"].to_numpy() == pytest.approx(np.repeat([11.0, 10.0], 4))
    assert shown["95 % interval"][0] == "+11.0 to +11.0"


def test_the_command_says_in_one_line_what_the_set_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bridge_set.load, "__defaults__", (tmp_path / "bridge.jsonl",))
    assert bridge.main(["check"]) == 1
    said = capsys.readouterr().err
    assert (
        said.startswith("bridge: the frozen set bridge.jsonl is missing") and said.count("\n") == 1
    )


def test_the_command_adds_a_judge(paths, monkeypatch, capsys):
    monkeypatch.setattr(bridge_set.load, "__defaults__", (paths[0],))
    monkeypatch.setattr(bridge_set.stored, "__defaults__", (paths[1],))
    monkeypatch.setattr(bridge_set.add, "__defaults__", (paths[1], None))
    monkeypatch.setattr("lib.judge.load_judge", lambda asked, stage: Judge("first"))
    assert bridge.main(["add", "smoke"]) == 0
    assert "300 answers, scored by first r-1" in capsys.readouterr().out


def test_a_profile_turns_the_frozen_set_on_by_name():
    assert params.load_profile("smoke").validity.bridge is None
    assert params.load_profile("smoke", {"validity.bridge": "frozen"}).validity.bridge == "frozen"
    with pytest.raises(ParamsError, match="bridge"):
        params.load_profile("smoke", {"validity.bridge": "/a/folder"})
