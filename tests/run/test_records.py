"""A damaged or edited record is refused or made again; what a flag says is checked by content."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

import pytest

from lib.config import params
from lib.report import read_result
from lib.run import altered, claims, dose
from lib.run.facts import Facts
from lib.run.files import MACHINE, UNFINISHED, sweep, write_text
from lib.run.records import RecordError, read_record, seal_file, write_record
from lib.run.runs import Run


@dataclass(frozen=True)
class Counted(Facts):
    rows: int


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return Run("r")


@pytest.fixture
def made(run):
    """A run whose stages 01, 02 and 04 are finished, with a pilot, a result, a page and flags."""
    for name, output in (
        ("01_build_traces", run.traces("selfcorrect")),
        ("02_phase1_sft.selfcorrect.seed42", run.phase1("selfcorrect", 42) / "weights"),
        ("04_sample_and_capability.base.seed42", run.samples("base", 42)),
    ):
        write_text(output, name)
        stage = run.stage(name, {"seed": 42})
        assert not stage.done()
        stage.finish([output], Counted(rows=3))
    for path in (run.pilot, run.result):
        write_text(path, '{"verdict": "supported"}')
        seal_file(path)
    for flag in ("01_build_traces", "02_phase1_sft.all.seed42", "05_judge", "06_stats_and_gates"):
        write_text(run.dir / ".done" / flag, "")
    page = run.dir.parent / "index.html"
    write_text(page, "page")
    altered.remember(run, "smoke")
    altered.shown(run, page)
    return page


def flags(run):
    return sorted(path.name[:2] for path in (run.dir / ".done").iterdir())


HARM = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a number edited": lambda text: text.replace('"rows": 3', '"rows": 4'),
    "a list": lambda text: "[]",
    "nested": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_record_is_made_again_and_never_read(run, made, harm, capsys):
    path = run.stage_manifest("01_build_traces")
    path.write_text(harm(path.read_text()))
    with pytest.raises(RecordError, match=r"01_build_traces\.json .*; delete it and run make rep"):
        run.facts("01_build_traces", Counted)
    assert not run.stage("01_build_traces", {"seed": 42}).done()
    assert "its record is damaged, making it again" in capsys.readouterr().out


def test_a_record_of_an_earlier_version_has_no_seal_and_is_read(run):
    write_text(run.dir / "old.json", '{"facts": {"rows": 3}}')
    assert read_record(run.dir / "old.json") == {"facts": {"rows": 3}}


def test_a_record_is_read_as_it_was_written(tmp_path):
    profile = params.load_profile("smoke")
    content = {"profile": profile, "pair": (1, 2.5), "keys": {2: "b", 10: "a"}, "none": None}
    written = write_record(tmp_path / "r.json", content)
    assert read_record(tmp_path / "r.json") == written
    assert write_record(tmp_path / "r.json", written) == written
    assert written["pair"] == [1, 2.5] and written["profile"]["profile"] == "smoke"


def test_an_input_that_was_changed_since_its_stage_is_refused(run, made):
    path = run.traces("selfcorrect")
    assert run.require(path, "traces", made_by="papermill 01") == path
    path.write_text("edited")
    told = "traces are not what 01_build_traces wrote: traces/selfcorrect.jsonl was changed since"
    with pytest.raises(RecordError, match=f"{told}; make them again with: papermill 01"):
        run.require(path, "traces", made_by="papermill 01")


def test_what_is_as_it_was_keeps_every_flag(run, made):
    assert altered.settle(run, "smoke", made) == []
    assert flags(run) == ["01", "02", "05", "06"] and made.exists() and run.pilot.exists()


@pytest.mark.parametrize(
    ("path", "left", "pilot"),
    [
        (lambda run: run.traces("selfcorrect"), [], False),
        (lambda run: run.phase1("selfcorrect", 42) / "weights", ["01"], False),
        (lambda run: run.stage_manifest("02_phase1_sft.selfcorrect.seed42"), ["01"], False),
        (lambda run: run.samples("base", 42), ["01", "02"], False),
        (lambda run: run.pilot, ["01", "02"], False),
        (lambda run: run.result, ["01", "02", "05"], True),
    ],
    ids=["traces", "adapter", "manifest", "samples", "pilot", "result"],
)
def test_a_changed_artifact_takes_the_flags_of_its_stage_and_of_all_later_ones(
    run, made, path, left, pilot
):
    path(run).write_text(path(run).read_text() + " ")
    path(run).write_text(path(run).read_text()[:-4])
    (line,) = altered.settle(run, "smoke", made)
    assert "changed" in line and flags(run) == left and run.pilot.exists() == pilot
    again = altered.settle(run, "smoke", made)
    assert again == ([line] if path(run).exists() else []), "what was removed is not named again"


def test_of_a_finished_run_an_artifact_may_be_removed(run, made):
    run.samples("base", 42).unlink()
    assert altered.settle(run, "smoke", made) == []
    (run.dir / ".done" / "06_stats_and_gates").unlink()
    (line,) = altered.settle(run, "smoke", made)
    assert "is missing" in line and flags(run) == ["01", "02"]


def test_changed_parameters_count_whatever_their_date_says(run, made, tmp_path, monkeypatch):
    """A clock that was set back gives the edited file a date before everything made from it."""
    copy = tmp_path / "params"
    copy.mkdir()
    for path in params.PARAMS_DIR.glob("*.yaml"):
        (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(altered, "PARAMS_DIR", copy)
    assert altered.settle(run, "smoke", made) == []
    with (copy / "gates.yaml").open("a") as file:
        file.write("# edited\n")
    os.utime(copy / "gates.yaml", (0, 0))
    lines = altered.settle(run, "smoke", made)
    assert lines == ["params/gates.yaml has changed since the last start"] and flags(run) == []


def test_a_page_that_shows_another_result_is_rendered_again(run, made):
    write_text(run.result, '{"verdict": "not_supported"}')
    seal_file(run.result)
    assert altered.settle(run, "smoke", made) == [] and not made.exists()


def test_an_edited_result_is_not_shown(run, made):
    assert read_result.load(run.result)["verdict"] == "supported"
    run.result.write_text('{"verdict": "SUPPORTED"}')
    with pytest.raises(RecordError, match=r"stats/result\.json was changed after it was written"):
        read_result.load(run.result)


def test_an_edited_choice_of_the_ladder_is_refused(run):
    profile = params.load_profile("qwen05b")
    first, second, *_ = profile.ladder.rungs
    path = dose.choice_file(run)
    write_record(path, {"plan": dose.plan(profile), "chosen": first.name, "reason": "enough"})
    assert dose.with_choice(profile, run).data.em == first.em
    path.write_text(path.read_text().replace(f'"{first.name}"', f'"{second.name}"'))
    with pytest.raises(RecordError, match=r"chosen\.json was changed after it was written"):
        dose.with_choice(profile, run)


def test_a_second_process_waits_for_a_stage_or_refuses(run, made, monkeypatch, capsys):
    """flock is per opened file, so another process is this one without its memory of the lock."""
    asked = []

    def flock(file, how):
        asked.append(how)
        if how & claims.fcntl.LOCK_NB:
            raise BlockingIOError

    monkeypatch.setattr(claims, "_held", {})
    monkeypatch.setattr(claims.fcntl, "flock", flock)
    first = run.stage_manifest("03")
    claims.take(first)
    assert asked == [claims.fcntl.LOCK_EX | claims.fcntl.LOCK_NB, claims.fcntl.LOCK_EX]
    assert "03: another process is making it, waiting" in capsys.readouterr().out
    with pytest.raises(claims.ClaimError, match="another process is making 04; wait for it"):
        claims.take(run.stage_manifest("04"))
    claims.release(first)
    claims.take(run.stage_manifest("04"))


def test_a_stage_is_free_again_when_it_is_finished(run, made):
    stage = run.stage("05_judge", {})
    assert not stage.done() and stage.manifest in claims._held
    stage.finish([], Counted(rows=0))
    assert stage.manifest not in claims._held
    assert run.stage("05_judge", {}).done() and stage.manifest not in claims._held


def test_what_a_killed_process_left_unfinished_is_swept(tmp_path):
    gone = [".a.json.{m}-{p}.tmp", ".adapter.{m}-{p}.old"]
    names = [name.format(m=MACHINE, p=2**30) for name in gone]
    kept = [f".a.json.{MACHINE}-{os.getpid()}.tmp", ".a.json.0badc0de-7.tmp", ".lock", "a.tmp"]
    for name in (*names, *kept):
        write_text(tmp_path / "x" / name, "half")
    assert all(UNFINISHED.fullmatch(name) for name in names)
    write_text(tmp_path / "x" / f".lost.{MACHINE}-{2**30}.old" / "weights", "whole")
    write_text(tmp_path / "x" / "adapter" / "weights", "new")
    sweep(tmp_path)
    left = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert left == sorted([*kept, "adapter", "lost"])
    assert (tmp_path / "x" / "lost" / "weights").read_text() == "whole"


def test_seconds_do_not_follow_a_clock_that_is_set_back(run, monkeypatch):
    stage = run.stage("s", {})
    monkeypatch.setattr(time, "time", lambda: 0.0)
    stage.finish([], Counted(rows=0))
    record = json.loads(run.stage_manifest("s").read_text())
    assert 0 <= record["seconds"] < 3600
