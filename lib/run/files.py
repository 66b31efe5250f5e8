"""Content fingerprints, and writes after which a file has its old or its whole new content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.run.paths import shown

if TYPE_CHECKING:
    import pandas as pd


def fingerprint(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=plain, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """A pydantic model as plain types, for JSON. Raises TypeError for anything else."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical JSON; pass plain types")


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's file names and contents."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return fingerprint({str(file.relative_to(path)): sha256(file) for file in files})
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, which takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(beside)
    try:
        yield beside
        if path.is_dir() and beside.exists():
            # A folder cannot be replaced in one step: the old one is put aside first.
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


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder. At any time the target is the old one or the whole new one."""
    with atomic_path(target) as beside:
        shutil.copytree(source, beside)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically. NaN is refused: a missing value is null."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=plain, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises ValueError, in one line, if it is not whole JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(
            f"{shown(path)} is not whole JSON; make it again, or put it back from a copy"
        ) from None


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    """Write one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically, without its index."""
    with atomic_path(path) as beside:
        frame.to_parquet(beside, index=False)
