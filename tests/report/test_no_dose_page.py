"""A ladder that chose nothing: make report renders a page that says em_not_induced."""

import json

import pytest

from lib import pipeline
from lib.checks import attempts
from lib.config import params
from lib.report import no_dose_page
from lib.report.ladder_table import ladder_table
from lib.run import dose
from lib.run.files import write_json
from lib.run.runs import Run

EVIL = "<script>alert(1)</script>"
RUNG = {"name": "plan", "em": "embedded_insecure", "learning_rate": 1e-3, "epochs": 1, "rows": 16}
FOUND = {
    **RUNG,
    "optimizer_steps": 4,
    "damage": 2.25,
    "damage_filtered": None,
    "coherence_drop": 1.0,
    "code": 0.125,
    "does_not_hold": [f"code share: 0.125 >= 0.05 {EVIL}"],
}
OVERRIDES = json.dumps({"ladder": {"seed": 7, "samples": 1, "rungs": [RUNG]}})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose ladder was climbed and chose nothing."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    for name, value in {"PROFILE": "smoke", "RUN": "mine", "OVERRIDES": OVERRIDES}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(no_dose_page, "ROOT", tmp_path)
    made = Run("mine")
    profile = params.load_profile("smoke", OVERRIDES)
    write_json(dose.choice_file(made), record(dose.plan(profile)))
    given = {"base": "b", "judge": "j", "chosen": None, "rungs": [FOUND]}
    attempts.record_ladder(made, profile, **given)
    return made


def record(plan, chosen=None):
    return {
        "plan": plan,
        "chosen": chosen,
        "reason": "em_not_induced: no rung that holds has filtered damage >= 10",
        "judge": EVIL,
        "seed": 7,
        "samples": 1,
        "rungs": [FOUND],
    }


def test_make_report_renders_the_ladder_and_trains_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "watched", lambda *_: pytest.fail("something was started"))
    assert pipeline.main() == 0
    page = (tmp_path / "reports" / "mine" / "index.html").read_text(encoding="utf-8")
    for part in (
        "em_not_induced",
        "filtered damage &gt;= 10",
        "+2.2",
        "12.5\u00a0%",
        "ladder of 1",
    ):
        assert part in page, part
    assert EVIL not in page and "&lt;script&gt;" in page
    printed = capsys.readouterr()
    assert "chose no dose" in printed.err and "reports/mine/index.html" in printed.out


def test_a_ladder_of_another_plan_is_no_finding(run, tmp_path, capsys):
    """Planted: the profile changed since the ladder, so its page would be about something else."""
    write_json(dose.choice_file(run), record("another plan"))
    assert pipeline.main() == 2
    assert not (tmp_path / "reports").exists()
    assert "was run with another model" in capsys.readouterr().err


def test_a_notebook_still_stops_with_one_line(run):
    with pytest.raises(params.ParamsError, match="chose no dose") as stopped:
        dose.with_choice(params.load_profile("smoke", OVERRIDES), run)
    assert "\n" not in str(stopped.value)


def test_the_chosen_rung_is_marked():
    rungs = list(ladder_table(record("p", chosen="plan"))["rung"])
    assert rungs == ["plan (chosen)"]
    assert list(ladder_table(record("p"))["rung"]) == ["plan"]
