"""Overrides: values that replace those of a profile, by dotted key."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, get_args

from lib.config import once
from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.strict import SuiteName

EXAMPLE = '{"phase2.learning_rate": 1e-4}'
SUITES = ["sampling", "suites"]
QUOTED = 200  # characters of a text that an error quotes
UNSAVED = re.compile("[\0\ud800-\udfff]")


def parse_overrides(overrides: dict | str | None) -> dict[str, Any]:
    """Values by dotted key, from a mapping or its JSON text. Raises ParamsError."""
    if isinstance(overrides, str):
        overrides = _read(overrides)
    overrides = {} if overrides is None else overrides
    if not isinstance(overrides, dict):
        raise ParamsError(f"overrides {overrides!r} must map dotted keys to values")
    for key in overrides:
        if not isinstance(key, str):
            raise ParamsError(f"overrides: key {key!r} is not text; write e.g. 'phase2.rows'")
        _check_text(key, overrides[key])
    for key in overrides:
        parents = [other for other in overrides if key.startswith(f"{other}.")]
        if parents:
            raise ParamsError(
                f"overrides: {key!r} is a part of {parents[0]!r}, which is given too; "
                "keep one of them"
            )
    return dict(overrides)


def _read(text: str) -> Any:
    """The value of a JSON text. Raises ParamsError."""
    try:
        return once.read_json(text)
    except once.TwiceError as error:
        raise ParamsError(f"overrides: {error}") from None
    except json.JSONDecodeError as error:
        raise ParamsError(
            f"overrides {_short(text)} is not valid JSON ({error.msg}); write e.g. {EXAMPLE}"
        ) from None
    except RecursionError:
        raise ParamsError(
            f"overrides {_short(text)} is nested too deeply; write e.g. {EXAMPLE}"
        ) from None
    except ValueError:  # Python's own guard, which names an interpreter option as its remedy
        digits = sys.get_int_max_str_digits()
        raise ParamsError(
            f"overrides {_short(text)} holds a number of more than {digits:,} digits; "
            f"write e.g. {EXAMPLE}"
        ) from None


def _short(text: str) -> str:
    """The text as an error quotes it."""
    return repr(text if len(text) <= QUOTED else text[:QUOTED] + "…")


def _check_text(key: str, value: Any) -> None:
    """Raise ParamsError if a text in a value cannot be saved, or ends early when it is read."""
    if isinstance(value, dict):
        for name, part in value.items():
            _check_text(f"{key}.{name}", part)
    elif isinstance(value, list):
        for part in value:
            _check_text(key, part)
    elif isinstance(value, str) and UNSAVED.search(value):
        raise ParamsError(
            f"overrides: {key} is {_short(value)}, with a NUL character or half a surrogate pair; "
            "take that character out"
        )


def override(profile: dict, key: str, value: Any) -> None:
    """Set one value of a profile as it was read. Raises ParamsError with the nearest valid key."""
    parts = key.split(".")
    section = profile
    for depth, part in enumerate(parts):
        new_suite = depth == len(parts) - 1 and _is_suite(parts)
        if not isinstance(section, dict) or not (part in section or new_suite):
            nearest = parts[:depth]
            if isinstance(section, dict) and section:
                more = get_args(SuiteName) if parts[:depth] == SUITES else ()
                nearest = [*nearest, closest_name(part, [*section, *more])]
            raise ParamsError(
                f"overrides: unknown key {key!r} (value {value!r}); "
                f"nearest valid key: {'.'.join(nearest)!r}"
            )
        if depth < len(parts) - 1:
            section = section[part]
    section[parts[-1]] = value


def _is_suite(parts: list[str]) -> bool:
    """Whether a key names a whole suite, which a profile may leave out."""
    return parts[:-1] == SUITES and parts[-1] in get_args(SuiteName)
