"""What a run takes on disk, its logs by stage, and `make clean-run`."""

from __future__ import annotations

import pytest

from lib.config.arguments import ParamsError
from lib.pipeline import lock
from lib.run import clean, disk
from lib.run.files import write_text
from lib.run.log import Log
from lib.run.runs import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    made = Run("r")
    write_text(made.samples("base", 42), "x" * 1000)
    write_text(made.serve("c6_vanilla_em", 42) / "weights", "x" * 2_000_000)
    write_text(made.manifest, "{}")
    return made


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2.5e9, "2.5 GB")]
)
def test_bytes_are_said_as_a_person_says_them(count, said):
    assert disk.size(count) == said


def test_the_largest_parts_come_first(run):
    assert list(disk.usage(run).items()) == [
        ("adapters", 2_000_000),
        ("samples", 1000),
        ("manifest.json", 2),
    ]
    assert disk.line(run).startswith("2.0 MB (adapters 2.0 MB, samples 1 kB, manifest.json 2 B); ")


def test_each_stage_has_its_own_log(run):
    log = Log(run)
    for text in ("first", "stage 1 of 2: 01_build_traces", "a", "stage 2 of 2: ../report", "b"):
        log.write(text)
    log.close()
    logs = {path.name: path.read_text() for path in (run.dir / "logs").iterdir()}
    assert sorted(logs) == ["01_build_traces.log", "report.log"]
    assert "a\n" in logs["01_build_traces.log"] and "b\n" not in logs["01_build_traces.log"]
    assert "first" not in logs["01_build_traces.log"] and len(log.path.read_text().split("\n")) == 6


def test_a_run_is_removed_and_nothing_else(run, tmp_path, monkeypatch, capsys):
    write_text(tmp_path / "other" / "manifest.json", "{}")
    write_text(tmp_path / "attempts.jsonl", "")
    monkeypatch.setenv("RUN", "r")
    clean.main()
    assert capsys.readouterr().out.startswith("2.0 MB removed; the report stays in reports/r")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempts.jsonl", "other"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("", "RUN is missing"), ("q", "nearest: 'r'"), ("../r", "not a plain folder")],
)
def test_what_is_no_run_is_not_removed(run, name, told):
    with pytest.raises(ParamsError, match=told):
        clean.remove(name)
    assert run.samples("base", 42).exists()


def test_a_run_that_is_at_work_is_not_removed(run, tmp_path):
    with lock(tmp_path, "r"), pytest.raises(ParamsError, match="works on run 'r' now; stop it"):
        clean.remove("r")
    assert run.samples("base", 42).exists()
