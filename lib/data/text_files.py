"""Text files as people save them: UTF-8 with or without a mark, JSON lines, CSV with a comma, semicolon or tab.

What cannot be read is one error that names the file, the row and the remedy.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from lib.data.columns import lookalike

SEPARATORS = (",", ";", "\t")
LONGEST_FIELD = (
    131_072  # characters; a longer one is nearly always a quotation mark that nobody closed
)
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class DataError(ValueError):
    """An input that is missing, altered or malformed; one line with file, place, reason and remedy."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark. Raises DataError."""
    raw = path.read_bytes()
    marked = next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)
    # Without a mark, UTF-16 shows by a zero in every other byte, and such bytes are valid UTF-8.
    if marked is None and len(raw) >= 4 and (not any(raw[1:40:2]) or not any(raw[0:40:2])):
        marked = "UTF-16"
    if marked:
        raise DataError(
            f"{path.name}: saved as {marked}; save it as UTF-8 (spreadsheets: CSV UTF-8)"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def parse_json(text: str) -> Any:
    """A JSON value. Raises ValueError with the reason in a few words."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:  # Python's own guard, which names an interpreter option as its remedy
        raise ValueError(
            f"holds a number of more than {sys.get_int_max_str_digits():,} digits"
        ) from None
    if re.search(r"\\u[dD][89a-fA-F]", text) and (
        reason := not_text(json.dumps(value, ensure_ascii=False))
    ):
        raise ValueError(reason)
    return value


def not_text(text: str) -> str | None:
    """Why a string is no text that can be saved, tokenized and drawn; None if it is."""
    if "\0" in text:
        return "holds a NUL character"
    half = re.search("[\ud800-\udfff]", text)
    return f"holds half a surrogate pair ({half.group()!a}), which is no text" if half else None


def read_jsonl(path: Path) -> list[dict]:
    """Objects of a JSONL file. Raises DataError with the line number and the reason."""
    rows = []
    lines = read_text(path).split(
        "\n"
    )  # not splitlines: JSON strings may hold other line separators
    for number, line in enumerate(lines, start=1):
        line = line.lstrip("\ufeff")  # files with a mark, joined together
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(
                f"{path.name}: line {number} {error}; mend or remove the line"
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"{path.name}: line {number} holds a {type(row).__name__}, not an object; mend the line"
            )
        rows.append(row)
    return rows


def read_csv(path: Path, needed: str, optional: str = "id") -> list[dict[str, str | None]]:
    """Rows of a CSV file by column; the separator is the one that makes a header with the column `needed`.

    Raises DataError naming the row, or a column that only looks like `needed` or `optional`.
    """
    text = read_text(path)
    said = re.match(r"sep=(.)\r?\n", text)  # a spreadsheet's own first line
    text, separators = (text[said.end() :], (said.group(1),)) if said else (text, SEPARATORS)
    headers = {separator: _header(path, text, separator) for separator in separators}
    fits = [separator for separator, header in headers.items() if needed in header]
    if not fits:
        alike = [
            (header, name)
            for header in headers.values()
            if (name := lookalike(needed, header)) is not None
        ]
        header, name = alike[0] if alike else (max(headers.values(), key=len), None)
        shown = ", ".join(map(repr, header) if alike else header)
        hint = f"; {name!r} looks like it, rename it to {needed!r}" if alike else ""
        raise DataError(f"{path.name} lacks the column {needed!r}{hint}; it has {shown}")
    header = headers[fits[0]]
    for name in (needed, optional):
        if header.count(name) > 1:
            raise DataError(
                f"{path.name} has the column {name!r} {header.count(name)} times; keep one"
            )
    if optional not in header and (alike := lookalike(optional, header)) is not None:
        raise DataError(
            f"{path.name}: the column {alike!r} looks like {optional!r}; rename it to {optional!r} if it is "
            "that, else to something else"
        )
    return _rows(path, text, fits[0], header)


def _header(path: Path, text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path.name}: the header cannot be read ({error}); mend it") from None


def _rows(path: Path, text: str, separator: str, header: list[str]) -> list[dict[str, str | None]]:
    rows, reader = [], csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    next(reader)
    while True:
        number = len(rows) + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            if "field limit" not in str(error):
                raise DataError(
                    f"{path.name}: row {number} cannot be read ({error}); mend it"
                ) from None
            raise DataError(f"{path.name}: row {number} {_TOO_LONG}") from None
        if fields is None:
            return rows
        if (
            max(map(len, fields), default=0) > LONGEST_FIELD
        ):  # a library may have lifted the reader's own limit
            raise DataError(f"{path.name}: row {number} {_TOO_LONG}")
        if not fields:
            continue
        if len(fields) > len(header):
            raise DataError(
                f"{path.name}: row {number} has {len(fields)} fields, the header {len(header)}; put a text that "
                f"holds {separator!r} into quotation marks"
            )
        rows.append(dict(zip(header, fields + [None] * (len(header) - len(fields)), strict=True)))


_TOO_LONG = f"has a field of more than {LONGEST_FIELD:,} characters; is a quotation mark missing?"
