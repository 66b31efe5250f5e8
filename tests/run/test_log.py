"""The log of a run, and whether `make report` is at work on it."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime

import pytest

from lib.pipeline import lock
from lib.run import log, progress
from lib.run.runs import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("logged")


def written(run, *lines):
    opened = log.Log(run)
    for line in lines:
        opened.write(line)
    opened.close()


def test_only_the_last_attempt_is_read(run):
    assert log.read(run) == []
    written(run, f"{log.begins()}: profile smoke", "old", f"{log.ends()}: exit code 1")
    written(run, f"{log.begins()}: profile smoke", "stage 1 of 7: 01_build_traces\n")
    lines = log.read(run)
    assert [line.text for line in lines] == [
        f"{log.begins()}: profile smoke",
        "stage 1 of 7: 01_build_traces",
    ]
    assert abs((datetime.now(UTC) - lines[1].time).total_seconds()) < 600


@pytest.mark.parametrize("target", log.TARGETS)
def test_an_attempt_tells_what_it_was_for_and_how_it_ended(run, target):
    written(run, f"{log.begins()}: profile smoke", f"{log.ends()}: exit code 0")
    written(run, f"{log.begins(target)}: profile smoke", "at work")
    attempt = log.read(run)
    assert [line.text for line in attempt][1:] == ["at work"]
    assert (log.target_of(attempt), log.exit_code(attempt)) == (target, None)
    written(run, f"{log.ends(target)}: exit code 2")
    assert log.exit_code(log.read(run)) == 2
    assert log.target_of([]) is None and log.exit_code([]) is None


def test_a_damaged_log_is_read_as_far_as_it_goes(run):
    written(run, "first")
    with log.path(run).open("ab") as file:
        file.write(b"\xff no time\x00\n" + b"x" * (2 * log.TAIL_BYTES) + b"\nlast\n")
    lines = log.read(run)
    assert lines[-1] == log.Line(None, "last") and len(lines) == 2


def test_a_closed_log_takes_no_line_and_stops_nothing(run):
    opened = log.Log(run)
    opened.close()
    opened.write("late")
    assert log.path(run).read_text() == ""


def test_the_lock_names_the_run_that_is_at_work(run, tmp_path):
    assert not log.is_at_work(run)
    with lock(tmp_path, "logged"):
        assert log.is_at_work(run) and not log.is_at_work(Run("other"))
    assert not log.is_at_work(run), "the name stays in the file, the lock does not"
    with lock(tmp_path, "x"):
        assert not log.is_at_work(run)


def test_a_lock_without_a_name_may_be_anybodys(run, tmp_path):
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert log.is_at_work(run)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("judging: 100 of 400 items, 60 s", 180.0),
        ("phase 2 x: 10 of 10 steps, 206 s", 0.0),
        ("judging: 0 of 400 items, 5 s", None),
        ("no progress", None),
        ("", None),
    ],
)
def test_a_line_of_progress_tells_what_is_left(line, expected):
    assert progress.seconds_left(line) == expected


def test_two_may_work_on_two_folders_of_runs(tmp_path):
    with lock(tmp_path / "a", "r"), lock(tmp_path / "b", "r"):
        pass
    with (
        lock(tmp_path / "a", "r"),
        pytest.raises(ValueError, match="another make is at work"),
        lock(tmp_path / "a", "r"),
    ):
        pass
