"""What a pack holds: which files of a run, and what may be in a file of each kind.

A pack comes from elsewhere, so nothing in it is executed or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from lib.run.runs import Run

WEIGHTS = ".safetensors"
FOLDERS = (  # of a run
    "adapters",
    "capability",
    "checks",
    "em_sets",
    "judgments",
    "judgments_second",
    "ladder",
    "manifests",
    "notebooks",
    "pilot",
    "review",
    "samples",
    "stats",
    "traces",
)
ENDINGS = (WEIGHTS, ".parquet", ".json", ".jsonl", ".ipynb", ".npz", ".csv", ".svg", ".png")
SHARDS = "shards"  # pieces of a sampling that is not finished
PARQUET_MARK = b"PAR1"
PNG_MARK = b"\x89PNG"


class PackError(ValueError):
    """A run that cannot be packed, or a pack that cannot be taken on. One line with the remedy."""


def files(run: Run) -> Iterator[str]:
    """The files of a run that belong into a pack, relative to its folder, in order."""
    found = [run.manifest] if run.manifest.exists() else []
    for folder in FOLDERS:
        found += sorted((run.dir / folder).rglob("*"))
    for path in found:
        name = path.relative_to(run.dir).as_posix()
        if path.is_file() and not path.is_symlink() and why_not(name) is None:
            yield name


def why_not(name: str) -> str | None:
    """Why a name is not that of a file in a pack, or None."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or path.as_posix() != name:
        return "leads out of the run's folder"
    if any(part.startswith(".") for part in path.parts):
        return "is hidden"
    if name != "manifest.json" and path.parts[0] not in FOLDERS:
        return "is not a file of a run"
    if SHARDS in path.parts:
        return "is a piece of an unfinished sampling"
    if path.suffix not in ENDINGS:
        return f"ends in {path.suffix or 'nothing'}; a pack has only {', '.join(ENDINGS)}"
    return None


def fault(path: Path) -> str | None:
    """What is wrong with a file of its kind, read without running anything in it; None if fine."""
    try:
        if path.suffix == WEIGHTS:
            from safetensors import safe_open

            with safe_open(path, framework="np") as opened:
                opened.keys()
        elif path.suffix == ".parquet":
            content = path.read_bytes()
            if not (content.startswith(PARQUET_MARK) and content.endswith(PARQUET_MARK)):
                return "is not a parquet file"
        elif path.suffix in (".json", ".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines():
                json.loads(line)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                for name in arrays.files:
                    arrays[name]
        elif path.suffix == ".png" and not path.read_bytes().startswith(PNG_MARK):
            return "is not a PNG file"
    except Exception as error:  # every reader raises its own kinds
        return f"cannot be read ({type(error).__name__})"
    return None
