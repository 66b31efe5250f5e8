"""`make status` reads a running, failed, stopped or finished run from its files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import nbformat
import pytest
from hostile_result import EVIL
from nbformat import v4
from test_report import Harm

from lib.config.arguments import ParamsError
from lib.config.params import load_profile
from lib.display import show
from lib.pipeline import lock
from lib.report import stage_states, status, status_page
from lib.run.files import write_json, write_text
from lib.run.log import Log, begins, ends
from lib.run.runs import Run

PROFILE = load_profile("smoke", {"conditions": ["base", "c6_vanilla_em", "selfcorrect_em"]})
FIRST, SECOND, THIRD = (
    "01_build_traces",
    "02_phase1_sft.all.seed42",
    "03_phase2_em.all.seed42",
)
NOW = datetime.now(UTC)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(stage_states, "now", lambda: NOW)
    for module in (stage_states, status_page):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return started("half")


def started(name: str, overrides: str = "{}") -> Run:
    run = Run(name)
    write_json(
        run.manifest,
        {"profile": PROFILE.model_dump(mode="json"), "overrides": overrides},
    )
    return run


def executed(run, name, minutes_ago=10, took=None, printed="", error=None):
    """An executed notebook as papermill leaves it; took: seconds, if it has ended."""
    outputs = [v4.new_output("stream", text=printed)]
    if error:
        outputs.append(v4.new_output("error", ename="MaskError", evalue=error, traceback=[error]))
    start = NOW - timedelta(minutes=minutes_ago)
    times = {
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(seconds=took)).isoformat() if took else None,
        "duration": took,
        "exception": bool(error) or None,
    }
    notebook = v4.new_notebook(
        cells=[v4.new_code_cell("run()", outputs=outputs)], metadata={"papermill": times}
    )
    write_text(run.dir / "notebooks" / f"{name}.ipynb", nbformat.writes(notebook))


def done(run, stage):
    write_text(run.dir / ".done" / stage, "")


def unit(run, name, seconds, minutes_ago):
    finished = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    write_json(run.stage_manifest(name), {"seconds": seconds, "finished": finished})


def at_third(run, **given):
    """Two stages are finished, and the third one has begun."""
    executed(run, "01_build_traces", 60, 600.0)
    executed(run, "02_phase1_sft", 40, 300.0)
    executed(run, "03_phase2_em", 10, **given)
    done(run, FIRST)
    done(run, SECOND)
    return run


def states(run) -> dict[str, str]:
    return {state.name: state.state for state in status.read(run).stages}


def test_a_running_run(run, tmp_path):
    at_third(run, printed="phase 2 base: 1 of 10 steps, 9 s\n")
    unit(run, "03_phase2_em.c6_vanilla_em.seed42", 480.0, 2)
    with lock(tmp_path / "runs", "half"):
        found = status.read(run)
        text = "\n".join(status.lines(found))
    assert found.title == f"running, stage 3 of 7: {THIRD}"
    assert [state.state for state in found.stages[:4]] == [
        "finished",
        "finished",
        "running",
        "waiting",
    ]
    assert found.elapsed == pytest.approx(600 + 300 + 600, abs=120)
    # One of two arms took 480 seconds, and the other has run for two minutes.
    assert found.left.seconds == pytest.approx(360, abs=120)
    assert list(found.left.unknown) == [
        "04_sample_and_capability",
        "05_judge",
        "06_stats_and_gates",
    ]
    assert "phase 2 base: 1 of 10 steps" in text and "to continue" not in text


def test_another_run_of_the_profile_tells_how_long_stages_take(run):
    at_third(run, took=100.0)
    done(run, THIRD)
    other = started("other")
    for arm in PROFILE.conditions:
        unit(other, f"04_sample_and_capability.{arm}.seed42", 100.0, 600)
    executed(other, "05_judge", 600, 70.0)
    executed(other, "06_stats_and_gates", 500, 30.0)
    left = status.read(run).left
    assert (left.seconds, list(left.unknown)) == (400.0, [])
    executed(other, "06_stats_and_gates", 500, 30.0, error="stopped")
    assert list(status.read(run).left.unknown) == ["06_stats_and_gates"]


def test_a_failed_run_says_the_error_and_what_to_do(run):
    at_third(run, took=5.0, printed="line one\nline two\n", error="mask of row 3 is empty;\nfix it")
    found = status.read(run)
    text = "\n".join(status.lines(found))
    assert found.title == f"failed in stage 3 of 7: {THIRD}"
    assert "error: MaskError: mask of row 3 is empty; fix it" in text
    assert text.endswith("to continue: make report PROFILE=smoke RUN=half")
    page = status_page.build(run).read_text(encoding="utf-8")
    assert "03_<wbr>phase2_<wbr>em.<wbr>all.<wbr>seed42</h1>" in page
    for words in ("MaskError: mask of row 3", "make report PROFILE=smoke RUN=half", "line two"):
        assert words in page
    folder = run.dir.parents[1] / "reports" / "half" / "status"
    assert {path.stem for path in folder.iterdir()} == {
        "index",
        "01_build_traces",
        "02_phase1_sft",
        "03_phase2_em",
    }


def test_a_stopped_run_is_not_called_running(run, tmp_path):
    at_third(run)
    assert states(run)[THIRD] == "stopped"
    with lock(tmp_path / "runs", "another"):
        assert states(run)[THIRD] == "stopped", "somebody else holds the lock"
    assert "stopped at stage 3 of 7" in status.read(run).title


def test_a_stage_that_is_made_again_waits(run):
    at_third(run, took=9.0)
    (run.dir / ".done" / SECOND).unlink()
    assert states(run)[SECOND] == "waiting" and states(run)[THIRD] == "waiting"


def test_a_stage_without_a_notebook_is_read_from_the_log(run):
    for stage in status.read(run).stages[:-1]:
        done(run, stage.name)
    log = Log(run)
    for line in (f"{begins()}: x", "stage 7 of 7: report", "no page of it", "Error in rule site:"):
        log.write(line)
    assert status.read(run).current.state == "stopped"
    log.write(f"{ends()}: exit code 1")
    log.close()
    found = status.read(run)
    assert found.current.state == "failed" and found.current.error == "no page of it"


@pytest.mark.parametrize(("code", "state"), [(1, "failed"), (143, "stopped"), (130, "stopped")])
def test_a_kernel_that_died_is_a_failure_and_a_signal_is_not(run, code, state):
    at_third(run)
    log = Log(run)
    log.write(f"{begins()}: profile smoke")
    log.write(f"stage 3 of 7: {THIRD}")
    for line in ("Traceback (most recent call last):", "  File x", "DeadKernelError: died"):
        log.write(line)
    log.write(f"{ends()}: exit code {code}")
    log.close()
    stage = status.read(run).current
    assert stage.state == state
    assert stage.error == ("DeadKernelError: died" if state == "failed" else None)


def test_overrides_are_part_of_what_continues_the_run(run):
    other = started("other", '{"phase2.rows": 8}')
    command = status.read(other).command
    assert command == "make report PROFILE=smoke RUN=other 'OVERRIDES={\"phase2.rows\": 8}'"


def test_a_run_that_never_began_shows_its_log(run):
    bare = Run("bare")
    log = Log(bare)
    log.write("make em_set: the model is missing")
    log.close()
    found = status.read(bare)
    assert found.stages == [] and found.title == "stopped before its first stage"
    assert "the model is missing" in status_page.build(bare).read_text(encoding="utf-8")


def test_no_run_names_the_nearest(run):
    with pytest.raises(ParamsError, match=r"there is no run 'hlaf' in .*; nearest: 'half'"):
        status.read(Run("hlaf"))


@pytest.mark.parametrize("folder", [".cache", ".gpus", ".sweeps"])
def test_a_hidden_folder_is_not_offered_as_a_run(run, folder):
    (run.dir.parent / folder).mkdir()
    with pytest.raises(ParamsError, match="nearest: 'half'"):
        status.read(Run(folder[1:]))


def test_what_a_stage_printed_moves_no_cursor_and_runs_nothing(run):
    printed = f"\x1b[2J\x1b]0;title\x07{EVIL}\u202e"
    at_third(run, took=5.0, printed=printed, error=f"\x1b[31m{EVIL}")
    text = "\n".join(status.lines(status.read(run)))
    assert "\x1b" not in text and "\u202e" not in text and "⟨U+001B⟩" in text
    page = status_page.build(run)
    for path in page.parent.glob("*.html"):
        assert Harm(path.read_text(encoding="utf-8")).found == [], path.name


def test_a_finished_run_is_finished(run, tmp_path):
    for stage in status.read(run).stages[:-1]:
        done(run, stage.name)
    write_json(run.result, {})
    write_text(tmp_path / "reports" / "half" / "index.html", "")
    found = status.read(run)
    assert found.title == "finished" and status.left_line(found) == "nothing"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7260, "2 h 01 min")],
)
def test_durations_are_said_as_a_person_says_them(seconds, words):
    assert show.duration(seconds) == words
