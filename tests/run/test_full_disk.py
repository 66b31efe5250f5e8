"""A disk that takes no more: one line with artifact and remedy, and nothing half-written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.checks import attempts
from lib.config.arguments import ParamsError
from lib.config.params import ROOT, load_profile
from lib.report import result_files
from lib.run import dose, files
from lib.run.facts import Facts
from lib.run.files import (
    WriteError,
    atomic_path,
    copy_folder,
    write_json,
    write_jsonl,
    write_parquet,
)
from lib.run.records import write_record
from lib.run.runs import Run, open_run
from lib.traces.kept_samples import KeptSampler


class Result:
    """A result that has only its text."""

    def to_json(self):
        return '{"verdict": "supported"}'


def folder(path):
    (path.parent / "trained").mkdir(parents=True, exist_ok=True)
    (path.parent / "trained" / "adapter_model.safetensors").write_bytes(b"weights")
    copy_folder(path.parent / "trained", path)


def arrays(path):
    with atomic_path(path) as beside, beside.open("wb") as file:
        np.savez(file, logprobs=np.zeros(3))


TABLE = pd.DataFrame({"aligned": [1.0, 2.0]})
ARTIFACTS = {
    "traces": (lambda run: run.traces("selfcorrect"), lambda p, run: write_jsonl(p, [{"a": 1}])),
    "samples": (lambda run: run.samples("base", 42), lambda p, run: write_parquet(p, TABLE)),
    "judgments": (lambda run: run.judgments("base", 42), lambda p, run: write_parquet(p, TABLE)),
    "capability": (lambda run: run.capability("base", 42), lambda p, run: write_json(p, {"n": 1})),
    "adapter": (lambda run: run.phase1("selfcorrect", 42), lambda p, run: folder(p)),
    "log-probabilities": (lambda run: run.logprobs("base", 42), lambda p, run: arrays(p)),
    "manifest of a stage": (
        lambda run: run.stage_manifest("05_judge"),
        lambda p, run: run.stage("05_judge", {}).finish([], Facts()),
    ),
    "stamp": (lambda run: run.manifest, lambda p, run: write_record(p, {"run": "r"})),
    "choice of the ladder": (dose.choice_file, lambda p, run: write_record(p, {"chosen": None})),
    "result": (lambda run: run.result, lambda p, run: result_files.keep(p, Result())),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("r")


def content(run):
    return {path: path.read_bytes() for path in sorted(run.dir.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_full_or_read_only_disk_keeps_the_old_artifact(run, name, number, monkeypatch):
    place, write = ARTIFACTS[name]
    path = place(run)
    write(path, run)
    before = content(run)

    def full(*paths):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as planted:
        planted.setattr(files.os, "replace", full)
        with pytest.raises(WriteError) as error:
            write(path, run)
    told = str(error.value)
    reason = {errno.ENOSPC: "the disk is full", errno.EROFS: "the disk is read-only"}[number]
    assert path.name in told and reason in told and "start again" in told and "\n" not in told
    assert content(run) == before
    write(path, run)


def test_what_libraries_raise_on_a_full_disk_is_one_line_too(tmp_path):
    """The system itself refuses: files may not grow over 4 KiB in this process."""
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import numpy as np, pandas as pd, torch
        from safetensors.torch import save_file
        from lib.run.files import WriteError, atomic_path, write_parquet, write_text

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        folder = Path(sys.argv[1])
        table = pd.DataFrame({"x": np.random.default_rng(0).random(9000)})

        def tensors(path):
            with atomic_path(path) as beside:
                save_file({"x": torch.rand(9000)}, beside)

        for write, name in (
            (lambda path: write_text(path, "x" * 9000), "text"),
            (lambda path: write_parquet(path, table), "parquet"),
            (tensors, "safetensors"),
        ):
            try:
                write(folder / name)
            except WriteError as error:
                print(name, error)
        print(sorted(path.name for path in folder.iterdir()))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["text", "parquet", "safetensors"], done
    assert all("too large for this disk; free some space" in line for line in lines[:-1]), lines
    assert lines[-1] == "[]", "nothing is left"


def test_half_a_line_of_the_record_of_attempts_is_taken_back(run, monkeypatch):
    first = {"fingerprint": "a", "base": "b"}
    attempts._append(first)
    write = os.write
    with monkeypatch.context() as planted:
        planted.setattr(attempts.os, "write", lambda handle, data: write(handle, data[:5]))
        with pytest.raises(WriteError, match=r"attempts\.jsonl could not be written: the disk is"):
            attempts._append({"fingerprint": "c", "base": "d"})
    assert attempts.read() == [first]


def test_completions_that_were_not_kept_are_asked_for_again(run, monkeypatch):
    engine = SimpleNamespace(facts={}, batch=1, interleaves=False)
    kept = KeptSampler(engine, run.dir / "traces" / "sampled.jsonl", {})

    def full(handle):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as planted:
        planted.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match=r"sampled\.jsonl could not be written"):
            kept._append({"key": []})
    assert "key" not in kept._known


def test_a_read_only_folder_of_runs_is_said_before_any_work(run, monkeypatch):
    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    told = r"cannot be written \(read-only, or the disk is full\); make it writable, or name"
    with pytest.raises(ParamsError, match=told):
        open_run(load_profile("smoke"), "r")
    assert not run.dir.exists()
