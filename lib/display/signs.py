"""The signs of print in a sentence that was typed: minus, at least and at most."""

from __future__ import annotations

import re

HYPHEN = re.compile(r"(?<!\w)-(?=\d)")  # before a number
LONG = re.compile(r"(?<![\w.])[1-9]\d*\.\d{2,}(?!\.?\w)")  # 1 or more, with several decimals
PRINTED = {">=": "≥", "<=": "≤"}


def with_minus(text: str) -> str:
    """A sentence whose negative numbers have a minus sign, not a hyphen."""
    return HYPHEN.sub("−", text)


def in_tenths(text: str) -> str:
    """A sentence of the analysis whose numbers of 1 or more have one decimal.

    Only for sentences about points: a version such as 2.13 would lose a digit.
    """
    return LONG.sub(lambda match: f"{float(match[0]):.1f}", text)


def typeset(text: str) -> str:
    """A sentence of the analysis with all signs of print, and without marks of code."""
    text = text.replace("`", "")
    for typed, printed in PRINTED.items():
        text = text.replace(typed, printed)
    return with_minus(text)
