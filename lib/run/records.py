"""Records of a run as JSON with a seal, so that an edited or cut-off record is never taken.

The seal is the fingerprint of everything else in the record. It finds accidents: a file that was
edited by hand, cut off, or copied half. Somebody who means to deceive can compute it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.run.files import fingerprint, plain, sha256, write_json, write_text
from lib.run.paths import shown

SEAL = "seal"


class RecordError(ValueError):
    """A record is damaged. One line with the file and the remedy."""


def write_record(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a record with its seal, atomically. Returns what was written."""
    # As JSON gives it back: tuples become lists.
    as_read = json.loads(json.dumps(dict(record), default=plain, allow_nan=False))
    as_read.pop(SEAL, None)
    sealed = as_read | {SEAL: fingerprint(as_read)}
    write_json(path, sealed)
    return sealed


def read_record(path: Path) -> dict[str, Any]:
    """A record. One of an earlier version, which has no seal, is taken as it is.

    Raises RecordError if it is not JSON, not an object, or not what was written.
    """
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise RecordError(f"{shown(path)} is not whole JSON; {_remedy(path)}") from None
    if not isinstance(record, dict):
        raise RecordError(f"{shown(path)} holds no object; {_remedy(path)}")
    rest = {key: value for key, value in record.items() if key != SEAL}
    if SEAL in record and record[SEAL] != fingerprint(rest):
        raise RecordError(f"{shown(path)} was changed after it was written; {_remedy(path)}")
    return record


def seal_file(path: Path) -> None:
    """Write a file's sha256 beside it, in the form that `sha256sum -c` reads."""
    write_text(seal_of(path), f"{sha256(path)}  {path.name}\n")


def seal_of(path: Path) -> Path:
    """Where the sha256 of a file is written."""
    return path.with_name(f"{path.name}.sha256")


def intact(path: Path) -> bool:
    """Whether a file is as it was sealed. One without a seal, of an earlier version, is."""
    seal = seal_of(path)
    return not seal.exists() or seal.read_text(encoding="utf-8").split(" ")[0] == sha256(path)


def _remedy(path: Path) -> str:
    """What to do about a damaged record. What a stage made can be made again; a stamp cannot."""
    if path.parent.name == "manifests":
        return "delete it and run make report again, which makes that stage again"
    return "put it back from a copy, or start a run of another name"
