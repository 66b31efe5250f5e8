"""Columns of a table as a file holds them to arrays that can be trusted: exact whole numbers, points, flags, text.

Nothing is guessed: a value of another kind (text, bytes, a list, true where points belong) is an error that names the
table, the column, the row (counted from 0) and the value.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

EXACT = 2**53  # beyond it a float no longer holds every whole number
INT64 = np.iinfo(np.int64).max
MISSING_AS_TEXT = (
    "nan",
    "NaN",
    "<NA>",
    "None",
    "NaT",
)  # what pandas and Python make of a missing id


class SchemaError(ValueError):
    """A table that breaks the schema; the message names table, column, row (counted from 0) and remedy."""


def require(frame: pd.DataFrame, columns: Collection[str], name: str) -> None:
    """Raises SchemaError unless each column is there exactly once. One that only looks alike is named by its repr."""
    for column in columns:
        count = list(frame.columns).count(column)
        if count > 1:
            raise SchemaError(f"{name}: column {column!r} is there {count} times; keep one")
        if count:
            continue
        if column in frame.index.names:
            raise SchemaError(
                f"{name}: {column!r} is the table's index, not a column; save it after reset_index()"
            )
        alike = lookalike(column, frame.columns)
        found = (
            f"; {alike!r} looks like it: rename that column to {column!r}"
            if alike is not None
            else ""
        )
        raise SchemaError(
            f"{name}: column {column!r} is missing{found}; a table needs {', '.join(columns)}"
        )


def lookalike(wanted: str, names: Collection[Any]) -> Any | None:
    """The first other name that a reader could take for `wanted`: white space, invisible signs or case apart."""
    return next(
        (name for name in names if name != wanted and _skeleton(name) == _skeleton(wanted)), None
    )


def _skeleton(name: Any) -> str:
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    folded = unicodedata.normalize("NFKC", str(name)).casefold()
    return "".join(
        sign
        for sign in folded
        if not sign.isspace() and unicodedata.category(sign) not in ("Cf", "Cc")
    )


def text(
    frame: pd.DataFrame, column: str, name: str, values: list[str] | None = None
) -> pd.Categorical:
    """Names and ids as text; a whole number is written without a point, so that 1, 1.0 and "1" are one id.

    values: the allowed ones (None = any).
    """
    codes, distinct = _factorized(frame, column, name)
    fail(frame, column, codes < 0, name, f"is missing; every row names its {column}")
    labels = _labels(frame, column, codes, distinct, name)
    if values is not None:
        known = np.array([label in values for label in labels], dtype=bool)
        fail(frame, column, ~known[codes], name, f"is unknown; use one of {', '.join(values)}")
    return pd.Categorical(np.array(labels, dtype=object)[codes], categories=values)


def optional_text(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Text, or None where it is missing."""
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
    for code, value in enumerate(distinct):
        reason = _no_text(value, may_be_empty)
        if reason:
            _refuse(frame, column, int((codes == code).argmax()), name, reason)
    return [_as_text(value) for value in distinct]


def whole(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Whole numbers of 0 or more, exact at any size: int64 where they fit, Python's own integers where not."""
    values = _uncoded(frame[column])
    if pd.api.types.is_bool_dtype(values.dtype) and len(values):
        _refuse(frame, column, 0, name, "is true or false, not a number; save whole numbers")
    if pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any():
        numbers = values.to_numpy(dtype=object if values.max() > INT64 else np.int64)
        fail(frame, column, numbers < 0, name, "is not a whole number of 0 or more")
        return numbers
    exact = [
        _whole(frame, column, row, value, name) for row, value in enumerate(values.astype(object))
    ]
    fits = all(value <= INT64 for value in exact)
    return np.array(exact, dtype=np.int64 if fits else object)


def number(frame: pd.DataFrame, column: str, name: str, upper: float, hint: str = "") -> np.ndarray:
    """Numbers from 0 to `upper` as floats; missing ones are NaN. hint: what an error should say about the range."""
    numbers = _floats(frame, column, name, _as_number)
    outside = (numbers < 0) | (numbers > upper) | np.isinf(numbers)
    fail(frame, column, outside, name, f"lies outside 0-{upper:g}{hint}")
    return numbers


def flag(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """True and false as 1.0 and 0.0; missing ones are NaN. Numbers count where they are exactly 0 or 1."""
    numbers = _floats(frame, column, name, _as_flag)
    fail(
        frame,
        column,
        ~np.isin(numbers, (0.0, 1.0)) & ~np.isnan(numbers),
        name,
        "is neither true, false nor missing",
    )
    return numbers


def unique(table: pd.DataFrame, keys: list[str], name: str, remedy: str) -> None:
    """Raises SchemaError naming the first row whose key stands in an earlier one."""
    again = table.duplicated(keys).to_numpy()
    if again.any():
        row = int(again.argmax())
        key = ", ".join(f"{column} {table[column].iloc[row]}" for column in keys)
        raise SchemaError(
            f"{name}: column {keys[-1]!r}, row {row}: repeats the key {key}; {remedy}"
        )


def fail(frame: pd.DataFrame, column: str, bad: Any, name: str, reason: str) -> None:
    """Raises SchemaError for the first row that is bad."""
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        _refuse(frame, column, int(bad.argmax()), name, reason)


def _refuse(frame: pd.DataFrame, column: str, row: int, name: str, reason: str) -> None:
    value = frame[column].iloc[row] if len(frame) else None
    value = value.item() if isinstance(value, np.generic) else value
    shown = repr(value)
    shown = shown if len(shown) <= 120 else f"{shown[:80]}… ({len(shown)} characters)"
    where = name.encode("utf-8", "backslashreplace").decode()
    raise SchemaError(f"{where}: column {column!r}, row {row}: {shown} {reason}".replace("\n", " "))


def _factorized(frame: pd.DataFrame, column: str, name: str) -> tuple[np.ndarray, list]:
    """A code per row, -1 where missing, and the distinct values, each looked at once."""
    values = frame[column]
    if pd.api.types.infer_dtype(values, skipna=True) == "string":  # the usual case, and fast
        codes, distinct = pd.factorize(values)
        return codes, list(distinct)
    seen: dict[tuple[type, Any], int] = {}  # by type too: True and 1 are equal, and are not one id
    codes = np.full(len(values), -1)
    for row, value in enumerate(values.astype(object)):
        if isinstance(value, (list, tuple, set, dict, np.ndarray)):
            _refuse(
                frame,
                column,
                row,
                name,
                "is a list; give one text (several names are joined by `+`)",
            )
        if not pd.isna(value):
            codes[row] = seen.setdefault((type(value), value), len(seen))
    return codes, [value for _, value in seen]


def _no_text(value: Any, may_be_empty: bool = False) -> str | None:
    """Why a value is no name; None if it is one."""
    if isinstance(value, (bool, np.bool_)):
        return "is true or false, not a name; give text"
    if isinstance(value, (bytes, bytearray)):
        return "is bytes, not text; decode it before saving"
    if isinstance(value, Real) and not isinstance(value, Decimal):
        inexact = isinstance(value, (float, np.floating)) and not float(value).is_integer()
        return "is not a whole number; give text or whole numbers" if inexact else None
    if not isinstance(value, (str, Decimal)):
        return f"is a {type(value).__name__}, not text"
    written = str(value)
    if "\0" in written:
        return "holds a NUL character; remove it"
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in written):
        return "holds half a surrogate pair, which is no text; mend or remove it"
    if may_be_empty:
        return None
    if not written.strip():
        return "is empty; give every row a name of its own"
    if written in MISSING_AS_TEXT:
        return "is how a missing value is written; give every row a name of its own"
    return None


def _as_text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        value = int(value)
    return str(value)


def _whole(frame: pd.DataFrame, column: str, row: int, value: Any, name: str) -> int:
    def refuse(reason: str) -> None:
        _refuse(frame, column, row, name, reason)

    if isinstance(value, (bool, np.bool_)):
        refuse("is true or false, not a number; save whole numbers")
    if isinstance(value, (str, bytes)):
        refuse("is text, not a number; save the column as whole numbers")
    whole_decimal = (
        isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value()
    )
    if isinstance(value, (int, np.integer)) or whole_decimal:
        exact = int(value)
    elif (
        isinstance(value, (float, np.floating)) and np.isfinite(value) and float(value).is_integer()
    ):
        if abs(value) > EXACT:
            refuse(
                "is a float above 2^53, where floats skip whole numbers; save the column as integers"
            )
        exact = int(value)
    else:
        refuse("is not a whole number of 0 or more")
    if exact < 0:
        refuse("is not a whole number of 0 or more")
    return exact


def _floats(
    frame: pd.DataFrame, column: str, name: str, convert: Callable[[Any], float | str]
) -> np.ndarray:
    """A column as floats. convert: the number of one value, or the reason why it is none."""
    values = _uncoded(frame[column])
    kind = values.dtype
    plain = pd.api.types.is_float_dtype(kind) or pd.api.types.is_integer_dtype(kind)
    if plain or (convert is _as_flag and pd.api.types.is_bool_dtype(kind)):
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
    return values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values


def _as_number(value: Any) -> float | str:
    if isinstance(value, (bool, np.bool_)):
        return "is true or false, not a number; give the score itself"
    if isinstance(value, (str, bytes)):
        return f"is {'text' if isinstance(value, str) else 'bytes'}, no number; leave a missing one empty"
    if not isinstance(value, (Real, Decimal)):
        return f"is a {type(value).__name__}, not a number; leave a missing one empty"
    try:
        return float(value)
    except OverflowError:
        return "is too large for a number"


def _as_flag(value: Any) -> float | str:
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, Real) and value in (0, 1)):
        return float(value)
    if isinstance(value, (str, bytes)):
        return "is neither true, false nor missing but text; save true and false as booleans"
    return "is neither true, false nor missing"
