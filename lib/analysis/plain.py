"""Values in the types of JSON: no numpy scalars, no arrays, no NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The same value, ready for JSON: numpy scalars become Python's, NaN and infinities None.

    A mapping gets text keys, and a sequence becomes a list. A dataclass keeps its type, and its
    fields become plain.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: plain(part) for name, part in by_name(value).items()})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def by_name(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are; `dataclasses.asdict` would copy deeply."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
