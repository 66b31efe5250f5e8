"""Find names that differ only in white space, invisible signs or case."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import Any


def lookalike(wanted: str, names: Collection[Any]) -> Any | None:
    """The first other name that looks like `wanted`, or None."""
    for name in names:
        if name != wanted and _skeleton(name) == _skeleton(wanted):
            return name
    return None


def _skeleton(name: Any) -> str:
    """A name without white space, invisible signs and differences of case."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    folded = unicodedata.normalize("NFKC", str(name)).casefold()
    return "".join(sign for sign in folded if not _is_invisible(sign))


def _is_invisible(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) in ("Cf", "Cc")
