"""Text files as people save them: UTF-8 with or without a byte-order mark, JSON lines, CSV.

A CSV file is separated by commas, semicolons or tabs. A file that cannot be read is one error that
names the file, the row and the remedy.
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

from lib.data.lookalike import lookalike

SEPARATORS = (",", ";", "\t")
# Characters. A longer field is nearly always a quotation mark that nobody closed.
LONGEST_FIELD = 131_072
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class DataError(ValueError):
    """An input is missing, altered or malformed. One line with file, place, reason and remedy."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark. Raises DataError."""
    raw = path.read_bytes()
    encoding = _other_encoding(raw)
    if encoding:
        raise DataError(
            f"{path.name}: saved as {encoding}; save it as UTF-8 (spreadsheets: CSV UTF-8)"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _other_encoding(raw: bytes) -> str | None:
    """The name of a file's encoding if it is UTF-16 or UTF-32."""
    for mark, encoding in MARKS.items():
        if raw.startswith(mark):
            return encoding
    # Without a mark, UTF-16 has a zero in every other byte, and such bytes are valid UTF-8.
    zeros = not any(raw[1:40:2]) or not any(raw[0:40:2])
    return "UTF-16" if len(raw) >= 4 and zeros else None


def parse_json(text: str) -> Any:
    """A JSON value. Raises ValueError with the reason in a few words."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:  # Python's own guard, which names an interpreter option as its remedy
        raise ValueError(
            f"holds a number of more than {sys.get_int_max_str_digits():,} digits"
        ) from None
    if re.search(r"\\u[dD][89a-fA-F]", text):  # a surrogate, perhaps without its other half
        reason = not_text(json.dumps(value, ensure_ascii=False))
        if reason:
            raise ValueError(reason)
    return value


def not_text(text: str) -> str | None:
    """Why a string cannot be saved, tokenized and drawn as text, or None if it can."""
    if "\0" in text:
        return "holds a NUL character"
    half = re.search("[\ud800-\udfff]", text)
    if half:
        return f"holds half a surrogate pair ({half.group()!a}), which is not text"
    return None


def read_jsonl(path: Path) -> list[dict]:
    """The objects of a JSONL file. Raises DataError with the line number and the reason."""
    rows = []
    lines = read_text(path).split("\n")  # not splitlines: JSON strings may hold other separators
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
                f"{path.name}: line {number} holds a {type(row).__name__}, not an object; "
                "mend the line"
            )
        rows.append(row)
    return rows


def read_csv(path: Path, needed: str, optional: str = "id") -> list[dict[str, str | None]]:
    """The rows of a CSV file by column.

    The separator is the one that gives a header with the column `needed`.

    Raises DataError naming the row, or a column that only looks like `needed` or `optional`.
    """
    text = read_text(path)
    separators = SEPARATORS
    stated = re.match(r"sep=(.)\r?\n", text)  # a spreadsheet's own first line
    if stated:
        text = text[stated.end() :]
        separators = (stated.group(1),)
    headers = {separator: _header(path, text, separator) for separator in separators}
    fits = [separator for separator, header in headers.items() if needed in header]
    if not fits:
        raise DataError(f"{path.name} has no column {_missing(needed, list(headers.values()))}")
    header = headers[fits[0]]
    for name in (needed, optional):
        if header.count(name) > 1:
            raise DataError(
                f"{path.name} has the column {name!r} {header.count(name)} times; keep one"
            )
    alike = None if optional in header else lookalike(optional, header)
    if alike is not None:
        raise DataError(
            f"{path.name}: the column {alike!r} looks like {optional!r}; rename it to {optional!r} "
            "if it is that, else to something else"
        )
    return _rows(path, text, fits[0], header)


def _missing(needed: str, headers: list[list[str]]) -> str:
    """A missing column in words: its name, one that looks like it, and the columns that exist."""
    for header in headers:
        alike = lookalike(needed, header)
        if alike is not None:
            names = ", ".join(map(repr, header))
            return f"{needed!r}; {alike!r} looks like it, rename it to {needed!r}; it has {names}"
    return f"{needed!r}; it has {', '.join(max(headers, key=len))}"


def _header(path: Path, text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path.name}: the header cannot be read ({error}); mend it") from None


def _rows(path: Path, text: str, separator: str, header: list[str]) -> list[dict[str, str | None]]:
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
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
        # A library may have raised the reader's own limit.
        if max(map(len, fields), default=0) > LONGEST_FIELD:
            raise DataError(f"{path.name}: row {number} {_TOO_LONG}")
        if not fields:
            continue
        if len(fields) > len(header):
            raise DataError(
                f"{path.name}: row {number} has {len(fields)} fields, the header {len(header)}; "
                f"put a text that holds {separator!r} into quotation marks"
            )
        missing = [None] * (len(header) - len(fields))
        rows.append(dict(zip(header, [*fields, *missing], strict=True)))


_TOO_LONG = f"has a field of more than {LONGEST_FIELD:,} characters; is a quotation mark missing?"
