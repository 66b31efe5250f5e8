"""Content fingerprints, and writes after which a file has its old or its whole new content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lib.run.paths import shown

if TYPE_CHECKING:
    import pandas as pd


# In names of unfinished files. Machines may share a disk, so a process's number is not enough.
MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
UNFINISHED = re.compile(rf"\.(.*)\.{MACHINE}-(\d+)\.(tmp|old)")
SYSTEM_ERROR = re.compile(r"\b(?:os error|errno) (\d+)", re.IGNORECASE)
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "it may not be written",
    errno.EPERM: "it may not be written",
    errno.EFBIG: "the file is too large for this disk",
}


class WriteError(OSError):
    """An artifact could not be written. One line with the file, the reason and the remedy."""

    def __str__(self) -> str:
        return str(self.args[1])


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
    """Yield a path beside `path`, which takes its place when the block ends without an error.

    Raises WriteError, in one line, if the disk is full or cannot be written.
    """
    beside = _unfinished(path, "tmp")
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(beside)
            yield beside
            _replace(beside, path)
    finally:
        _remove(beside)


def _replace(beside: Path, path: Path) -> None:
    """Put a file or folder in the place of another."""
    if not (path.is_dir() and beside.exists()):
        os.replace(beside, path)
        return
    # A folder cannot be replaced in one step: the old one is put aside first.
    old = _unfinished(path, "old")
    os.replace(path, old)
    os.replace(beside, path)
    _remove(old)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Within the block a disk that takes no more becomes one line that names what was written.

    pyarrow and safetensors raise errors of their own, which name the system's error by number.
    """
    try:
        yield
    except Exception as error:  # SafetensorError is of no other kind
        number = _system_error(error)
        if number is None or number not in REASONS or isinstance(error, WriteError):
            raise
        raise WriteError(
            number,
            f"{shown(path)} could not be written: {REASONS[number]}; free some space or make it "
            "writable, and start again: what is finished stays",
        ) from None


def _system_error(error: Exception) -> int | None:
    """The system's number of an error, or None if it is none of the system's."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    named = SYSTEM_ERROR.search(str(error))
    return int(named.group(1)) if named else None


def _unfinished(path: Path, kind: str) -> Path:
    """Where this process puts what is to take a path's place, or was in it."""
    return path.with_name(f".{path.name}.{MACHINE}-{os.getpid()}.{kind}")


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are gone left unfinished below a folder.

    A folder that was put aside, and whose new version did not come, goes back to its place.
    """
    for path in list(folder.rglob(".*")):
        left = UNFINISHED.fullmatch(path.name)
        if not left or psutil.pid_exists(int(left.group(2))):
            continue
        name, _, kind = left.groups()
        if kind == "old" and not path.with_name(name).exists():
            os.replace(path, path.with_name(name))
        else:
            _remove(path)


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
