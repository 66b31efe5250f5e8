"""Single values of a table's columns: what they are as a name, a whole number, points or a flag.

`as_number` and `as_flag` return the value, or a text that says why it is refused; `not_a_name` and
`not_whole` return only the reason.
"""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

EXACT = 2**53  # beyond it a float no longer holds every whole number
MISSING_AS_TEXT = (
    "nan",
    "NaN",
    "<NA>",
    "None",
    "NaT",
)  # a missing id as pandas and Python write it


def is_flag(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, (bool, np.bool_))


def is_float(value: Any) -> bool:
    """Whether a value is a float of Python or NumPy."""
    return isinstance(value, (float, np.floating))


def not_a_name(value: Any, may_be_empty: bool = False) -> str | None:
    """Why a value is not a name, or None if it is one."""
    if is_flag(value):
        return "is true or false, not a name; give text"
    if isinstance(value, (bytes, bytearray)):
        return "is bytes, not text; decode it before saving"
    if isinstance(value, Real) and not isinstance(value, Decimal):
        inexact = is_float(value) and not float(value).is_integer()
        return "is not a whole number; give text or whole numbers" if inexact else None
    if not isinstance(value, (str, Decimal)):
        return f"is a {type(value).__name__}, not text"
    written = str(value)
    if "\0" in written:
        return "contains a NUL character; remove it"
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in written):
        return "contains half a surrogate pair, which is not text; mend or remove it"
    if may_be_empty:
        return None
    if not written.strip():
        return "is empty; give every row a name of its own"
    if written in MISSING_AS_TEXT:
        return "is how a missing value is written; give every row a name of its own"
    return None


def as_text(value: Any) -> str:
    """A name as text. A whole number has no point, so that 1, 1.0 and "1" are one name."""
    return str(int(value)) if is_float(value) else str(value)


def not_whole(value: Any) -> str | None:
    """Why a value is not an exact whole number of 0 or more, or None if it is one."""
    if is_flag(value):
        return "is true or false, not a number; save whole numbers"
    if isinstance(value, (str, bytes)):
        return "is text, not a number; save the column as whole numbers"
    if is_float(value):
        whole = bool(np.isfinite(value)) and float(value).is_integer()
        if whole and abs(value) > EXACT:
            return (
                "is a float above 2^53, where floats skip whole numbers; "
                "save the column as integers"
            )
    elif isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
    else:
        whole = isinstance(value, (int, np.integer))
    return None if whole and value >= 0 else "is not a whole number of 0 or more"


def as_number(value: Any) -> float | str:
    """The number, or why it is not one."""
    if is_flag(value):
        return "is true or false, not a number; give the score itself"
    if isinstance(value, (str, bytes)):
        kind = "text" if isinstance(value, str) else "bytes"
        return f"is {kind}, not a number; leave a missing one empty"
    if not isinstance(value, (Real, Decimal)):
        return f"is a {type(value).__name__}, not a number; leave a missing one empty"
    try:
        return float(value)
    except OverflowError:
        return "is too large for a number"


def as_flag(value: Any) -> float | str:
    """True and false as 1.0 and 0.0, or why the value is neither."""
    if is_flag(value) or (isinstance(value, Real) and value in (0, 1)):
        return float(value)
    if isinstance(value, (str, bytes)):
        return "is neither true, false nor missing but text; save true and false as booleans"
    return "is neither true, false nor missing"
