"""A number against a threshold: the one place where the two are compared (docs/protocol.md sections 6 and 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from lib.roles import PLANNED
from lib.tables import DECIMALS


class Thresholds(dict):
    """Thresholds by name; one that is absent or no number is an error that names it."""

    def __missing__(self, name: str):
        raise ValueError(f"params/gates.yaml lacks the threshold {name!r}; add it")

    def __getitem__(self, name: str) -> float:
        value = finite(super().__getitem__(name))
        if value is None:
            raise ValueError(f"params/gates.yaml: threshold {name!r} is {self.get(name)!r}; give a number")
        return value


def bound(value: Any, sign: str, limit: float) -> dict[str, Any]:
    """Whether `value sign limit` holds, after rounding to 1e-9: value, threshold, passed, margin, needed, reason.

    A margin above 0 lies on the passing side. A missing value passes nothing and fails nothing: `passed` is None.
    """
    measured, needed = finite(value), f"{sign} {limit:g}"
    row = {"value": measured, "threshold": limit, "passed": None, "margin": None, "needed": needed}
    if measured is None:
        return row | {"reason": "not evaluated: the value is missing"}
    gap = rounded(rounded(measured) - limit)
    passed = {">=": gap >= 0, ">": gap > 0, "<": gap < 0, "<=": gap <= 0}[sign]
    margin = gap if sign.startswith(">") else 0.0 - gap
    return row | {"passed": passed, "margin": margin, "reason": f"{measured:.4g} is {'' if passed else 'not '}{needed}"}


def role_name(result: Mapping[str, Any], role: str) -> str:
    """The arm that plays a role (treatment, baseline, base) in this result."""
    return (result.get("roles") or PLANNED.by_name())[role]


def finite(value: Any) -> float | None:
    """A finite number, or None: NaN, infinities, booleans and text count as missing."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def rounded(value: float) -> float:
    """Rounded as every comparison with a threshold is, docs/protocol.md section 6."""
    return round(value, DECIMALS)
