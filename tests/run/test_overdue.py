"""A stage that hangs is named and stopped, by a clock that nobody sets back."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from lib import pipeline
from lib.config.arguments import ParamsError
from lib.run import overdue, watched
from lib.run.log import Log
from lib.run.runs import Run

pytestmark = pytest.mark.usefixtures("signals")


def test_a_stage_has_its_own_time_and_is_named():
    seconds = 0.0
    watch = overdue.Watch(2, now=lambda: seconds)
    seconds = 7000.0
    watch.note("2026 stage 3 of 7: 03_phase2_em.all.seed42")
    seconds = 7000.0 + 7200.0
    watch.check()
    seconds += 1
    told = "03_phase2_em.all.seed42 took longer than 2 hours and was stopped.*STAGE_HOURS=HOURS"
    with pytest.raises(overdue.OverdueError, match=told):
        watch.check()


@pytest.mark.parametrize("given", ["0", "-1", "soon", "inf", "nan"])
def test_hours_that_are_none_are_refused(given, monkeypatch):
    monkeypatch.setenv("STAGE_HOURS", given)
    with pytest.raises(ParamsError, match=f"STAGE_HOURS is '{given}'; give the hours"):
        overdue.hours()


def test_a_notebook_that_hangs_is_ended_with_everything_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("STAGE_HOURS", "1e-9")
    monkeypatch.setattr(watched, "CHECK_SECONDS", 0.01)
    hangs = "print('stage 2 of 7: 02_phase1_sft.all.seed42', flush=True); import time; "
    hangs += "time.sleep(600)"
    with (tmp_path / "held").open("w") as held:
        code = pipeline.logged([sys.executable, "-c", hangs], held.fileno(), Log(Run("r")))
    assert code == 1
    assert "took longer than 1e-09 hours and was stopped" in capsys.readouterr().err
    assert "was stopped" in (tmp_path / "r" / "pipeline.log").read_text()
    assert not [child for child in psutil.Process().children() if "600" in str(child.cmdline())]


@pytest.mark.parametrize(("cluster", "cancelled"), [("slurm", True), ("local", False)])
def test_a_signal_cancels_the_jobs_of_a_cluster(tmp_path, monkeypatch, cluster, cancelled):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("CLUSTER", cluster)
    made = tmp_path / "cancelled"
    submits = f"""
import os, pathlib, signal, time
try:
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path({str(made)!r}).touch()
"""
    with (tmp_path / "held").open("w") as held:
        code = pipeline.logged([sys.executable, "-c", submits], held.fileno(), Log(Run("r")))
    assert code == 128 + signal.SIGTERM
    assert made.exists() is cancelled


def test_a_command_that_ends_in_time_is_not_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    log = Log(Run("r"))
    with (tmp_path / "held").open("w") as held:
        code = watched.watched([sys.executable, "-c", "raise SystemExit(3)"], held.fileno(), log)
    log.close()
    assert code == 3
