"""Files: content fingerprints, and writes after which the old content or the whole new one is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
        return fingerprint(
            {str(p.relative_to(path)): sha256(p) for p in sorted(path.rglob("*")) if p.is_file()}
        )
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
        if (
            path.is_dir() and beside.exists()
        ):  # a folder cannot be replaced in one step: put the old one aside first
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
    """Copies a folder; the target is the old one or the whole new one at any time."""
    with atomic_path(target) as beside:
        shutil.copytree(source, beside)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Atomic, indented, refuses NaN: what is missing is null."""
    write_text(
        path,
        json.dumps(value, indent=2, ensure_ascii=False, default=_plain, allow_nan=False) + "\n",
    )


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Mapping]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    with atomic_path(path) as beside:
        frame.to_parquet(beside, index=False)
