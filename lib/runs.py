"""Where artifacts live, and when a stage is done: content fingerprints, atomic writes, a manifest written last."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import arguments
from lib.caches import cache_dir  # noqa: F401 (part of this module for its callers)
from lib.locks import differences
from lib.params import ROOT
from lib.paths import folder
from lib.schema import Profile

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "lm_eval", "scipy", "numpy", "pandas",
            "sentence-transformers")
GPU_PACKAGES = ("liger-kernel", "vllm")  # they change the arithmetic where they are installed
GIT_SECONDS = 20  # a checkout on a network drive can hang


def runs_root() -> Path:
    """The folder of all runs: `runs/` of the project, or what SELFCORRECT_RUNS_DIR names. Raises ParamsError."""
    return folder("SELFCORRECT_RUNS_DIR", ROOT / "runs")


class Run:
    """The paths of one run; `name` is the run's folder under runs/."""

    def __init__(self, name: str):
        self.name = arguments.name("run", name)
        self.dir = runs_root() / self.name

    @property
    def manifest(self) -> Path:
        return self.dir / "manifest.json"

    def traces(self, kind: str) -> Path:
        return self.dir / "traces" / f"{kind}.jsonl"

    def phase1(self, kind: str, seed: int) -> Path:
        return self.dir / "adapters" / f"seed{seed}" / "phase1" / kind

    def serve(self, condition: str, seed: int) -> Path:
        return self.dir / "adapters" / f"seed{seed}" / condition / "serve"

    def samples(self, condition: str, seed: int) -> Path:
        return self.dir / "samples" / f"seed{seed}" / f"{condition}.parquet"

    def capability(self, condition: str, seed: int) -> Path:
        return self.dir / "capability" / f"seed{seed}" / f"{condition}.json"

    def judgments(self, condition: str, seed: int) -> Path:
        return self.dir / "judgments" / f"seed{seed}" / f"{condition}.parquet"

    def judge_store(self, stage: str) -> Path:
        """Where an LLM judge keeps its answers: a file each for `traces`, `pilot`, `session`, `validity` and `second`."""
        return self.dir / "judge" / f"{stage}.sqlite"

    def second_judgments(self, condition: str, seed: int) -> Path:
        return self.dir / "judgments_second" / f"seed{seed}" / f"{condition}.parquet"

    @property
    def result(self) -> Path:
        return self.dir / "stats" / "result.json"

    def stage(self, name: str, inputs: Mapping[str, Any]) -> Stage:
        return Stage(self.dir / "manifests" / f"{name}.json", self.dir, inputs)


_last_finish = 0.0  # stages of one process run one after the other, so the later one starts where the earlier ended


class Stage:
    """One unit of work with a manifest.

    inputs: parameters and content hashes on which the outputs depend; their fingerprint decides whether a finished
    stage still stands. The manifest is written after every output, so it doubles as the completion marker.
    """

    def __init__(self, manifest: Path, base: Path, inputs: Mapping[str, Any]):
        self.manifest, self.base, self.inputs = manifest, base, dict(inputs)
        self.fingerprint = fingerprint(self.inputs)
        self._started = time.time()

    def done(self) -> bool:
        """True when the manifest has this fingerprint and every output still has the recorded content."""
        if not self.manifest.exists():
            return False
        record = read_json(self.manifest)
        if record["fingerprint"] != self.fingerprint:
            print(f"{self.manifest.stem}: inputs changed since it was made, making it again")
            return False
        for name, digest in record["outputs"].items():
            path = self.base / name
            if not path.exists() or sha256(path) != digest:
                print(f"{self.manifest.stem}: {name} is missing or differs from its manifest, making it again")
                return False
        print(f"{self.manifest.stem}: finished before, skipped")
        return True

    def record(self) -> dict:
        return read_json(self.manifest)

    def finish(self, outputs: Iterable[Path], **facts: Any) -> dict:
        """Writes the manifest; `facts` are what the report needs to know of this stage (JSON types)."""
        global _last_finish
        seconds, _last_finish = time.time() - max(self._started, _last_finish), time.time()
        record = {
            "fingerprint": self.fingerprint,
            "inputs": self.inputs,
            "outputs": {str(p.relative_to(self.base)): sha256(p) for p in outputs},
            "facts": facts,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
        }
        write_json(self.manifest, record)
        return record


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON of a value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical JSON; pass plain types")


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's file names and contents."""
    if path.is_dir():
        return fingerprint({str(p.relative_to(path)): sha256(p) for p in sorted(path.rglob("*")) if p.is_file()})
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path):
    """Yields a path beside `path`, renamed onto it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(beside)
    try:
        yield beside
        if path.is_dir() and beside.exists():  # a folder cannot be replaced in one step: put the old one aside first
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            os.replace(path, old)
            os.replace(beside, path)
            _remove(old)
        else:
            os.replace(beside, path)
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Atomic, indented, refuses NaN: what is missing is null."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=_plain, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    with atomic_path(path) as beside:
        frame.to_parquet(beside, index=False)


def environment() -> dict:
    """Python, packages, machine and commit, for the manifest. Unknown is null, never a guess."""
    import torch

    gpu_packages = [name for name in GPU_PACKAGES if importlib.util.find_spec(name.replace("-", "_"))]
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*PACKAGES, *gpu_packages)},
        "lock_differences": differences(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "commit": commit(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The project's own git commit, with `+changes` when the tree differs from it.

    None where it cannot be known: no git, no checkout, one that git refuses to read, or a folder
    inside another project's checkout.
    """
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT.resolve():
        return None
    head = _git("rev-parse", "--verify", "HEAD")
    status = _git("status", "--porcelain")
    if not head or status is None:
        return None
    return head + ("+changes" if status else "")


def _git(*arguments: str) -> str | None:
    """What git prints about the project's folder; None when it fails, hangs or is not installed.

    GIT_DIR and its kind point elsewhere when make runs inside a git hook, so they are left out.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], env=environment, check=True, timeout=GIT_SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def open_run(profile: Profile, run: str) -> Run:
    """The run of a notebook; an empty name means the profile's. Raises ValueError when the run is another profile's."""
    opened = Run(arguments.text("run", run) or profile.profile)
    if opened.manifest.exists() and (own := read_json(opened.manifest)["profile"]["profile"]) != profile.profile:
        raise ValueError(f"run {opened.name!r} was started with profile {own!r}, now {profile.profile!r}; give this profile a "
                         "run name of its own (-p run NAME)")
    print(f"run {opened.name} · profile {profile.profile} · {profile.about}", file=sys.stdout)
    return opened
