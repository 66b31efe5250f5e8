"""A table's columns as arrays that can be trusted: exact whole numbers, points, flags, text.

Nothing is guessed. A value of another kind (text, bytes, a list, true instead of points) is an
error that names the table, the column, the row (counted from 0) and the value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from lib.data.lookalike import lookalike
from lib.data.values import as_flag, as_number, as_text, not_a_name, not_whole

INT64 = np.iinfo(np.int64).max
LONGEST_SHOWN = 120  # characters of a value in an error; of a longer one the beginning is shown


class SchemaError(ValueError):
    """A table breaks its schema. The message names table, column, row (from 0) and remedy."""


def require(frame: pd.DataFrame, columns: Collection[str], name: str) -> None:
    """Raise SchemaError unless the table `name` has each column exactly once."""
    for column in columns:
        count = list(frame.columns).count(column)
        if count > 1:
            raise SchemaError(f"{name}: column {column!r} is there {count} times; keep one")
        if count:
            continue
        if column in frame.index.names:
            raise SchemaError(
                f"{name}: {column!r} is the table's index, not a column; "
                "save it after reset_index()"
            )
        alike = lookalike(column, frame.columns)
        hint = ""
        if alike is not None:
            hint = f"; {alike!r} looks like it: rename that column to {column!r}"
        raise SchemaError(
            f"{name}: column {column!r} is missing{hint}; add it, "
            f"a table needs {', '.join(columns)}"
        )


def text(
    frame: pd.DataFrame, column: str, name: str, values: list[str] | None = None
) -> pd.Categorical[str]:
    """A column of names and ids as text. No value may be missing.

    A whole number is written without a point, so that 1, 1.0 and "1" are one id.

    Args:
        frame: the table.
        column: the column to read.
        name: the table's name, for errors.
        values: the allowed values (None: any).

    Raises SchemaError.
    """
    codes, distinct = _factorized(frame, column, name)
    fail(frame, column, codes < 0, name, f"is missing; every row names its {column}")
    labels = _labels(frame, column, codes, distinct, name)
    if values is not None:
        known = np.array([label in values for label in labels], dtype=bool)
        fail(frame, column, ~known[codes], name, f"is unknown; use one of {', '.join(values)}")
    return pd.Categorical(np.array(labels, dtype=object)[codes], categories=values)


def optional_text(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """A column of text, with None where a value is missing. Raises SchemaError."""
    codes, distinct = _factorized(frame, column, name)
    labels = _labels(frame, column, codes, distinct, name, may_be_empty=True)
    return np.array([*labels, None], dtype=object)[codes]  # code -1 is the last


def _labels(
    frame: pd.DataFrame,
    column: str,
    codes: np.ndarray,
    distinct: list,
    name: str,
    may_be_empty: bool = False,
) -> list[str]:
    """The text of each distinct value."""
    for code, value in enumerate(distinct):
        reason = not_a_name(value, may_be_empty)
        if reason:
            _refuse(frame, column, int((codes == code).argmax()), name, reason)
    return [as_text(value) for value in distinct]


def whole(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """A column of whole numbers of 0 or more, exact at any size. Raises SchemaError.

    The type is int64 if all fit, else Python's own integers.
    """
    values = _uncoded(frame[column])
    if pd.api.types.is_bool_dtype(values.dtype) and len(values):
        _refuse(frame, column, 0, name, "is true or false, not a number; save whole numbers")
    if pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any():
        numbers = values.to_numpy(dtype=object if values.max() > INT64 else np.int64)
        fail(frame, column, numbers < 0, name, "is not a whole number of 0 or more")
        return numbers
    exact = []
    for row, value in enumerate(values.astype(object)):
        reason = not_whole(value)
        if reason:
            _refuse(frame, column, row, name, reason)
        exact.append(int(value))
    fits = all(value <= INT64 for value in exact)
    return np.array(exact, dtype=np.int64 if fits else object)


def number(frame: pd.DataFrame, column: str, name: str, upper: float, hint: str = "") -> np.ndarray:
    """A column of numbers from 0 to `upper` as floats, NaN where missing. Raises SchemaError.

    hint: what an error should say about the range.
    """
    numbers = _floats(frame, column, name, as_number)
    outside = (numbers < 0) | (numbers > upper) | np.isinf(numbers)
    fail(frame, column, outside, name, f"lies outside 0-{upper:g}{hint}")
    return numbers


def flag(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """A column of true and false as 1.0 and 0.0, NaN where missing. Raises SchemaError.

    Numbers count if they are exactly 0 or 1.
    """
    numbers = _floats(frame, column, name, as_flag)
    neither = ~np.isin(numbers, (0.0, 1.0)) & ~np.isnan(numbers)
    fail(frame, column, neither, name, "is neither true, false nor missing")
    return numbers


def unique(table: pd.DataFrame, keys: list[str], name: str, remedy: str) -> None:
    """Raise SchemaError at the first row whose key an earlier row has."""
    again = table.duplicated(keys).to_numpy()
    if again.any():
        row = int(again.argmax())
        key = ", ".join(f"{column} {table[column].iloc[row]}" for column in keys)
        raise SchemaError(
            f"{name}: column {keys[-1]!r}, row {row}: repeats the key {key}; {remedy}"
        )


def fail(frame: pd.DataFrame, column: str, bad: Any, name: str, reason: str) -> None:
    """Raise SchemaError for the first row that is bad, if there is one."""
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        _refuse(frame, column, int(bad.argmax()), name, reason)


def _refuse(frame: pd.DataFrame, column: str, row: int, name: str, reason: str) -> NoReturn:
    """Raise SchemaError that shows the value of a row and says what is wrong with it."""
    value = frame[column].iloc[row] if len(frame) else None
    value = value.item() if isinstance(value, np.generic) else value
    shown = repr(value)
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:80]}… ({len(shown)} characters)"
    where = name.encode("utf-8", "backslashreplace").decode()
    if ";" not in reason:
        reason += "; mend the row, or leave it out"
    raise SchemaError(f"{where}: column {column!r}, row {row}: {shown} {reason}".replace("\n", " "))


def _factorized(frame: pd.DataFrame, column: str, name: str) -> tuple[np.ndarray, list]:
    """A code per row, -1 where missing, and the distinct values."""
    values = frame[column]
    if pd.api.types.infer_dtype(values, skipna=True) == "string":  # the usual case, and fast
        codes, distinct = pd.factorize(values)
        return codes, list(distinct)
    # Keyed by type too: True and 1 are equal, and are not one id.
    code_of: dict[tuple[type, Any], int] = {}
    codes = np.full(len(values), -1)
    for row, value in enumerate(values.astype(object)):
        if isinstance(value, (list, tuple, set, dict, np.ndarray)):
            reason = "is a list; give one text (several names are joined by `+`)"
            _refuse(frame, column, row, name, reason)
        if not pd.isna(value):
            codes[row] = code_of.setdefault((type(value), value), len(code_of))
    return codes, [value for _, value in code_of]


def _floats(
    frame: pd.DataFrame, column: str, name: str, convert: Callable[[Any], float | str]
) -> np.ndarray:
    """A column as floats. convert: the number of one value, or the reason why it is refused."""
    values = _uncoded(frame[column])
    kind = values.dtype
    plain = pd.api.types.is_float_dtype(kind) or pd.api.types.is_integer_dtype(kind)
    if plain or (convert is as_flag and pd.api.types.is_bool_dtype(kind)):
        return values.to_numpy(dtype=float, na_value=np.nan)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values.astype(object)):
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            continue
        number_or_reason = convert(value)
        if isinstance(number_or_reason, str):
            _refuse(frame, column, row, name, number_or_reason)
        numbers[row] = number_or_reason
    return numbers


def _uncoded(values: pd.Series) -> pd.Series:
    """The values of a categorical column; another column as it is."""
    return values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
