"""What a person marked: one line of JSON per answer that was read, in the run's folder.

A line is `{"sample": …, "id": "007", "marks": ["parrot"], "note": ""}`. An answer may have several
marks, or none: then it was read and nothing of the list is true of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config.nearest import closest_name
from lib.manual_review.sample import Sample
from lib.run.files import write_jsonl
from lib.run.runs import Run

MARKS = {  # by name, as a reader sees it; the order is that of the keys 1 to 5
    "recovery": "genuine recovery",
    "parrot": "parrot",
    "refusal": "refusal",
    "incoherent": "incoherent",
    "harmful": "harmful",
}
FIELDS = ("sample", "id", "marks", "note")
LONGEST_NOTE = 2000  # characters


class ReviewError(ValueError):
    """A file of marks that does not fit the run. One line with the remedy."""


@dataclass(frozen=True)
class Reading:
    """What a person said of one answer."""

    marks: tuple[str, ...]
    note: str = ""


def path(run: Run, sample: Sample) -> Path:
    """Where the marks of a sample lie. Another sample of the run has another file."""
    return run.dir / "review" / f"{sample.fingerprint[:16]}.jsonl"


def read(run: Run, sample: Sample) -> dict[str, Reading]:
    """What was marked so far, by id. Raises ReviewError if the file was altered by hand."""
    kept = path(run, sample)
    return load(kept, sample) if kept.exists() else {}


def load(file: Path, sample: Sample) -> dict[str, Reading]:
    """The readings of a file, by id. Raises ReviewError, which names the first wrong line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ReviewError(
            f"{file.name} is not UTF-8 text; give the file that the page saved"
        ) from None
    readings: dict[str, Reading] = {}
    # Not splitlines: a note may hold a line separator of Unicode.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file.name}, line {number}"
        item_id, reading = _reading(line, where, sample)
        if item_id in readings:
            raise ReviewError(f"{where}: id {item_id!r} occurs twice; keep one line of it")
        readings[item_id] = reading
    return readings


def keep(run: Run, sample: Sample, readings: Mapping[str, Reading]) -> tuple[int, int]:
    """Add readings to those of the run. Returns how many are new, and how many replaced others."""
    known = read(run, sample)
    new = len(set(readings) - set(known))
    replaced = sum(known[i] != reading for i, reading in readings.items() if i in known)
    together = known | dict(readings)
    rows = [
        {
            "sample": sample.fingerprint,
            "id": item_id,
            "marks": list(together[item_id].marks),
            "note": together[item_id].note,
        }
        for item_id in sorted(together)
    ]
    write_jsonl(path(run, sample), rows)
    return new, replaced


def _reading(line: str, where: str, sample: Sample) -> tuple[str, Reading]:
    """One line of a file. Raises ReviewError."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or set(row) != set(FIELDS):
        raise ReviewError(
            f"{where} is not an object with {', '.join(FIELDS)}; give the file that the page saved"
        )
    item_id = row["id"]
    if row["sample"] != sample.fingerprint:
        raise ReviewError(
            f"{where} belongs to another sample ({str(row['sample'])[:16]}, this run has "
            f"{sample.fingerprint[:16]}); read this run's own page"
        )
    if not isinstance(item_id, str) or item_id not in sample.key.index:
        last = len(sample.items)
        raise ReviewError(
            f"{where}: id {item_id!r:.40} is not in the sample; it has 001 to {last:03d}"
        )
    return item_id, Reading(_marks(row["marks"], where), _note(row["note"], where))


def _marks(given: Any, where: str) -> tuple[str, ...]:
    """The marks of a line, in the order of the keys. Raises ReviewError."""
    if not isinstance(given, list) or not all(isinstance(mark, str) for mark in given):
        raise ReviewError(f"{where}: marks is {str(given)[:40]!r}; give a list of {_names()}")
    for mark in given:
        if mark not in MARKS:
            nearest = closest_name(mark[:40], MARKS)
            raise ReviewError(
                f"{where}: mark {mark[:40]!r} is unknown; nearest: {nearest!r}; give "
                f"any of {_names()}"
            )
    if len(set(given)) < len(given):
        raise ReviewError(f"{where}: a mark occurs twice in {', '.join(given)}; give it once")
    return tuple(mark for mark in MARKS if mark in given)


def _note(given: Any, where: str) -> str:
    """The note of a line. Raises ReviewError."""
    if not isinstance(given, str) or len(given) > LONGEST_NOTE:
        what = f"{len(given)} characters" if isinstance(given, str) else repr(given)[:40]
        raise ReviewError(f"{where}: note has {what}; give text of at most {LONGEST_NOTE}")
    if any("\ud800" <= sign <= "\udfff" for sign in given):
        raise ReviewError(f"{where}: note holds half of a character; write it again")
    return given


def _names() -> str:
    return ", ".join(MARKS)
