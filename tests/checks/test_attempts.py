"""The append-only record of attempts: one line per result, kept when a run is deleted."""

import shutil

import pytest

from lib.checks import attempts
from lib.config import params
from lib.run.files import write_json
from lib.run.runs import Run

RESULT = {"verdict": "null", "delta": 1.5, "p_value": 0.4, "judge": "embedded"}
PROFILE = params.load_profile("smoke")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))

    def make(name, base="tiny"):
        made = Run(name)
        write_json(made.dir / "manifests" / "01_build_traces.json", {"inputs": {"base": base}})
        return made

    return make


def test_every_attempt_on_one_base_is_listed_also_after_its_run_is_gone(run):
    first = run("a")
    attempts.record(first, PROFILE, **RESULT)
    shutil.rmtree(first.dir)
    attempts.record(run("other", base="another"), PROFILE, **RESULT)
    found = attempts.record(run("b"), PROFILE, **RESULT | {"verdict": "supported", "delta": 20.0})
    assert [(row["run"], row["verdict"]) for row in found] == [("a", "null"), ("b", "supported")]


def test_the_same_result_is_one_line_and_a_changed_one_is_another(run):
    for delta in (1.5, 1.5, 2.5, 1.5):
        found = attempts.record(run("a"), PROFILE, **RESULT | {"delta": delta})
    assert [row["delta"] for row in found] == [1.5, 2.5]
    assert len(attempts.path().read_text(encoding="utf-8").splitlines()) == 2


def test_a_run_without_a_treatment_result_is_no_attempt(run):
    assert attempts.record(run("a"), PROFILE, **RESULT | {"delta": None, "p_value": None}) == []
    assert not attempts.path().exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"base": 1}', "null"])
def test_a_damaged_line_is_named(run, line):
    attempts.record(run("a"), PROFILE, **RESULT)
    with attempts.path().open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="line 2 is damaged"):
        attempts.record(run("b"), PROFILE, **RESULT)
