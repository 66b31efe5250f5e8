"""Read folders of judgments and capability files into tables (docs/protocol.md sections 5 and 6).

The judgments may be this project's own or come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.table_checks import check_scale, judges
from lib.analysis.validation import (
    CAPABILITY_COLUMNS,
    exact_keys,
    validate_capability,
    validate_judgments,
)
from lib.data.columns import SchemaError
from lib.data.lookalike import lookalike
from lib.data.text_files import parse_json, read_text
from lib.run.paths import expanded

NUMBERS = ("acc", "acc_stderr", "acc_norm", "n")
# What Arrow raises on a damaged file.
ARROW_ERRORS = (ValueError, TypeError, OSError, NotImplementedError)


def read_judgments(folder: str | Path, *, own_judge: bool = False) -> pd.DataFrame:
    """Every `seed<k>/<condition>.parquet` of a folder as one table, with seed and condition.

    Each file is checked against the schema. Keys come back exact: ids as text, counts as whole
    numbers.

    Args:
        folder: where the files are.
        own_judge: whether a judge of this project scored them. It gives points, however low, so
            their scale is not questioned.

    Raises SchemaError that names the file, the column and the row, or if there is no file.
    """
    frames = []
    for seed, path in _by_seed(folder, ".parquet"):
        label = f"{path.parent.name}/{path.name}"
        frame = _read_parquet(path, label)
        _check_path(frame, label, seed=seed, condition=path.stem)
        if frame.empty:
            continue  # an arm without rows is named as missing later
        frame = frame.assign(seed=seed, condition=path.stem)
        validate_judgments(frame, label)
        if not own_judge:
            check_scale(frame, label, whole_table=False)
        # Before the files are joined: floats in one file and integers in another would round all.
        keys = {column: np.asarray(values) for column, values in exact_keys(frame, label).items()}
        frames.append(frame.assign(**keys))
    if not frames:
        raise SchemaError(
            f"{Path(folder).name} holds tables without a row; judge the samples first"
        )
    table = pd.concat(frames, ignore_index=True)
    if not own_judge:
        check_scale(table, "judgments", whole_table=True)
    judges(table)
    return table


def _check_path(frame: pd.DataFrame, label: str, **path: int | str) -> None:
    """Raise SchemaError if a table's own seed or condition is not the one of its path."""
    for column, value in path.items():
        if column in frame and set(frame[column].astype(str)) != {str(value)}:
            raise SchemaError(
                f"{label}: column {column!r} holds {frame[column].iloc[0]!r}, "
                f"the path says {value!r}; put each arm and seed into a file of its own name"
            )


def read_capability(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.json` of a folder: seed, condition, accuracies and items.

    Without a folder the table is empty. Raises SchemaError that names the file, or if there is no
    file.
    """
    if not folder:
        return pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    rows = []
    for seed, path in _by_seed(folder, ".json"):
        label = f"{path.parent.name}/{path.name}"
        record = _read_record(path, label)
        _check_numbers(record, label)
        row = {"seed": seed, "condition": path.stem}
        row |= {key: record[key] for key in NUMBERS}
        row["items"] = record.get("items")
        as_given = {key: pd.Series([value], dtype=object) for key, value in row.items()}
        validate_capability(pd.DataFrame(as_given), label)
        rows.append(row)
    return pd.DataFrame(rows)


def _check_numbers(record: Mapping[str, Any], label: str) -> None:
    """Raise SchemaError unless a capability file has all of its numbers."""
    for key in NUMBERS:
        if isinstance(record.get(key), (bool, str)):
            raise SchemaError(f"{label}: {key} is {record[key]!r}, not a number; mend it")
    for key in NUMBERS:
        if key not in record:
            alike = lookalike(key, record)
            hint = f" ({alike!r} looks like it)" if alike is not None else ""
            raise SchemaError(f"{label} lacks {key!r}{hint}; add it, the README has the schema")


def _read_record(path: Path, label: str) -> Mapping[str, Any]:
    """The object of a capability file. Raises SchemaError."""
    try:
        record = parse_json(read_text(path))
    except (ValueError, OSError) as error:  # DataError is a ValueError
        raise SchemaError(f"{label} cannot be read ({_reason(error)}); make it again") from None
    if not isinstance(record, dict):
        kind = "null" if record is None else f"a {type(record).__name__}"
        raise SchemaError(
            f"{label} holds {kind}, not an object with {', '.join(NUMBERS)}; make it again"
        )
    return record


def _read_parquet(path: Path, label: str) -> pd.DataFrame:
    """A parquet file, or a folder of its parts.

    Raises SchemaError if it is damaged or empty, or its text cannot be decoded.
    """
    if path.is_dir() and not any(map(Path.is_file, path.rglob("*"))):
        raise SchemaError(f"{label} is a folder without a file; put the table in its place")
    try:
        frame = pd.read_parquet(path)
    except ARROW_ERRORS as error:
        raise SchemaError(f"{label} cannot be read ({_reason(error)}); make it again") from None
    for column in frame.columns:
        try:
            list(frame[column])
        except UnicodeDecodeError:
            raise SchemaError(
                f"{label}: column {column!r}, row {_undecodable(frame[column])}: "
                "its bytes are not UTF-8 text; mend the row"
            ) from None
    return frame


def _undecodable(values: pd.Series) -> int:
    """The first row whose text cannot be decoded."""
    for row in range(len(values)):
        try:
            values.iloc[row]
        except UnicodeDecodeError:
            return row
    raise AssertionError("every row can be decoded")


def _reason(error: Exception) -> str:
    """The first line of an error, or its type."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _by_seed(folder: str | Path, suffix: str) -> list[tuple[int, Path]]:
    """The files `seed<k>/*<suffix>` of a folder with their seeds.

    Raises SchemaError if a folder name has no seed, if two folders have one, or without a file.
    """
    folder = expanded("the folder", str(folder))
    files: list[tuple[int, Path]] = []
    folder_of: dict[int, str] = {}
    for path in sorted(folder.glob(f"seed*/*{suffix}")):
        own = path.parent.name
        number = own.removeprefix("seed")
        if not (number.isascii() and number.isdigit()):
            raise SchemaError(
                f"{own} in {folder.name} names no seed; name the folder seed42 or the like"
            )
        first = folder_of.setdefault(int(number), own)
        if first != own:
            raise SchemaError(f"{first} and {own} in {folder.name} are one seed; keep one folder")
        files.append((int(number), path))
    if not files:
        table = next(folder.glob("seed*/*.csv"), None)
        hint = ""
        if table:
            hint = f"; {table.parent.name}/{table.name} is CSV, save it as {suffix[1:]}"
        raise SchemaError(
            f"{folder.parent.name}/{folder.name} holds no seed<k>/<condition>{suffix}{hint}; "
            "run the notebooks before 06, or give a folder of that form"
        )
    return files
