"""Compare a number with a threshold. Nothing else does so (docs/protocol.md section 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

# docs/protocol.md section 6: comparisons with thresholds are made after rounding to 1e-9.
DECIMALS = 9


class Thresholds(dict):
    """Thresholds by name. One that is absent or not a number is an error that names it."""

    def __missing__(self, name: str) -> float:
        raise ValueError(f"params/gates.yaml has no threshold {name!r}; add it")

    def __getitem__(self, name: str) -> float:
        value = finite(super().__getitem__(name))
        if value is None:
            given = self.get(name)
            raise ValueError(f"params/gates.yaml: threshold {name!r} is {given!r}; give a number")
        return value


@dataclass(frozen=True)
class Comparison:
    """A value against a threshold."""

    value: float | None  # None: missing
    threshold: float | None  # in the units of the value; None of gate 7, which has none
    passed: bool | None  # None where the value is missing
    margin: float | None  # above 0 on the passing side
    needed: str  # sign and threshold, in words
    reason: str  # how it came out, in words


def bound(value: Any, sign: str, limit: float) -> Comparison:
    """Whether `value sign limit` holds, after rounding to 1e-9.

    A missing value passes nothing and fails nothing: `passed` is None.
    """
    measured = finite(value)
    needed = f"{sign} {limit:g}"
    if measured is None:
        reason = "not evaluated: the value is missing"
        return Comparison(None, limit, passed=None, margin=None, needed=needed, reason=reason)
    gap = rounded(rounded(measured) - limit)
    passed = {">=": gap >= 0, ">": gap > 0, "<": gap < 0, "<=": gap <= 0}[sign]
    return Comparison(
        value=measured,
        threshold=limit,
        passed=passed,
        margin=gap if sign.startswith(">") else 0.0 - gap,
        needed=needed,
        reason=f"{measured:.4g} is {'' if passed else 'not '}{needed}",
    )


def finite(value: Any) -> float | None:
    """A finite number, or None: NaN, infinities, booleans and text count as missing."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def rounded(value: float) -> float:
    """Rounded as for every comparison with a threshold (docs/protocol.md section 6)."""
    return round(value, DECIMALS)
