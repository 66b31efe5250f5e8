"""`make em_set` and `make ladder` hold the lock and write the run's log, as `make report` does."""

from __future__ import annotations

import re

import pytest

from lib import pipeline
from lib.config.params import ROOT
from lib.run import log
from lib.run.runs import Run

AT_WORK = "from lib.run import log; from lib.run.runs import Run; print(log.is_at_work(Run('r')))"


@pytest.fixture(autouse=True)
def target_of_make(signals, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PROFILE", "smoke")
    monkeypatch.setenv("RUN", "r")
    monkeypatch.delenv("OVERRIDES", raising=False)


@pytest.mark.parametrize("target", pipeline.BUILDERS)
def test_a_builder_is_logged_under_the_lock(target, monkeypatch, capfd):
    monkeypatch.setitem(pipeline.BUILDERS, target, ("-c", AT_WORK))
    assert pipeline.main(target) == 0
    texts = [line.text for line in log.read(Run("r"))]
    begun = f"make {target} begins: profile smoke"
    assert texts == [begun, "True", f"{log.ends(target)}: exit code 0"]
    assert "True" in capfd.readouterr().out


def test_a_builder_that_stops_says_why_in_the_log(monkeypatch, capfd):
    stops = ("-c", "import sys; print('make ladder: no rung', file=sys.stderr); sys.exit(2)")
    monkeypatch.setitem(pipeline.BUILDERS, "ladder", stops)
    assert pipeline.main("ladder") == 2
    attempt = log.read(Run("r"))
    assert attempt[1].text == "make ladder: no rung" and log.exit_code(attempt) == 2
    assert "make report" not in capfd.readouterr().err


def test_a_wrong_profile_is_one_line_before_any_log(monkeypatch, capsys):
    monkeypatch.setenv("PROFILE", "smok")
    assert pipeline.main("em_set") == 2
    assert re.fullmatch(r"make em_set: .*smok.*\n", capsys.readouterr().err)
    assert log.read(Run("r")) == []


@pytest.mark.parametrize("name", ["RUN", "PROFILE"])
def test_an_empty_name_is_no_default(monkeypatch, capsys, name):
    monkeypatch.setenv(name, "")
    assert pipeline.main("ladder") == 2
    assert re.fullmatch(r"make ladder: .*\n", capsys.readouterr().err)
    assert log.read(Run("r")) == [] and log.read(Run("smoke")) == []


def test_the_recipes_call_what_is_logged():
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, command in pipeline.BUILDERS.items():
        assert f"-m lib.pipeline {target}" in recipes
        assert command[1] not in recipes.replace(f"lib.pipeline {target}", "")
