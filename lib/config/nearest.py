"""The valid name that is most like a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest_name(word: str, options: Iterable[str]) -> str:
    """The option most like a mistyped word, for the errors that name it."""
    matches = difflib.get_close_matches(word, list(options), n=1, cutoff=0.0)
    return matches[0] if matches else "(none)"
