"""The signs of print in a sentence that was typed: minus, at least and at most."""

from __future__ import annotations

import re

HYPHEN = re.compile(r"(?<!\w)-(?=\d)")  # before a number
PRINTED = {">=": "≥", "<=": "≤"}


def with_minus(text: str) -> str:
    """A sentence whose negative numbers have a minus sign, not a hyphen."""
    return HYPHEN.sub("−", text)


def typeset(text: str) -> str:
    """A sentence of the analysis with all signs of print, and without marks of code."""
    text = text.replace("`", "")
    for typed, printed in PRINTED.items():
        text = text.replace(typed, printed)
    return with_minus(text)
