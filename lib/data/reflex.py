"""The literal reflex: find a recovery's opening in a text, remove it, and tell a parrot.

An opening is found whatever its dashes (em, en, minus, hyphen, doubled), white space and case are.
Every other sign must be as written. See docs/protocol.md section 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

DASHES = "\u002d\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_DASH = rf"\s*[{re.escape(DASHES)}]+\s*"
_TOKEN = re.compile(rf"{_DASH}|\s+|[^\s{re.escape(DASHES)}]+")


def contains_reset(text: str, openings: Sequence[str]) -> bool:
    """Whether the text has an opening anywhere. Raises ValueError for openings without words."""
    pattern, marks = _compiled(tuple(openings))
    return _may_hold(text, marks) and pattern.search(text) is not None


def reset_spans(text: str, openings: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each opening in the text, in order."""
    pattern, _ = _compiled(tuple(openings))
    return [match.span() for match in pattern.finditer(text)]


def strip_opening(text: str, openings: Sequence[str]) -> str:
    """The text without any opening, for the stripped re-score. Other texts are unchanged."""
    pattern, _ = _compiled(tuple(openings))
    # Again until none is left: cutting one opening out can join the halves of another.
    while contains_reset(text, openings):
        opening = pattern.search(text)
        before = text[: opening.start()].rstrip()
        after = text[opening.end() :].lstrip()
        text = f"{before} {after}" if before and after else before + after
    return text


def is_parrot(text: str, openings: Sequence[str], recovered: bool | None) -> bool | None:
    """Whether the reset is only words: it is there, but no real recovery follows.

    An opening that no word follows is a parrot whatever the judge says, because nothing recovers.

    recovered: the judge's `reset_and_recover`. If it is missing (None or NA), so is the answer.
    """
    if not contains_reset(text, openings):
        return False
    if pd.isna(recovered):
        return None
    _, end = reset_spans(text, openings)[-1]
    return not recovered or re.search(r"\w", text[end:]) is None


def add_reflex_columns(frame: pd.DataFrame, openings: Sequence[str]) -> pd.DataFrame:
    """A copy of the frame with the nullable booleans `literal` and `parrot`.

    frame: has the columns `completion` (text) and `reset_and_recover` (nullable boolean). A missing
    completion gives missing values.
    """
    for column in ("completion", "reset_and_recover"):
        if column not in frame:
            raise ValueError(
                f"reflex columns: the frame has no column {column!r}; "
                "join completions and judgments first"
            )
    literal = []
    parrot = []
    for text, recovered in zip(frame["completion"], frame["reset_and_recover"], strict=True):
        literal.append(None if pd.isna(text) else contains_reset(text, openings))
        parrot.append(None if pd.isna(text) else is_parrot(text, openings, recovered))
    return frame.assign(
        literal=pd.array(literal, dtype="boolean"), parrot=pd.array(parrot, dtype="boolean")
    )


@lru_cache(maxsize=32)
def _compiled(openings: tuple[str, ...]) -> tuple[re.Pattern, frozenset[str]]:
    """One pattern for all openings, and the longest word of each.

    A text with none of these words needs no search.
    """
    if not openings or not all(re.search(r"\w", opening) for opening in openings):
        raise ValueError(
            f"openings {openings!r}: give one or more texts with words, "
            "as in params/conditions.yaml"
        )
    # Longest first, so that an opening that begins like another is removed whole.
    tolerant = "|".join(_tolerant(opening) for opening in sorted(openings, key=len, reverse=True))
    marks = frozenset(max(_TOKEN.findall(opening), key=len).casefold() for opening in openings)
    return re.compile(tolerant, re.IGNORECASE), marks


def _may_hold(text: str, marks: frozenset[str]) -> bool:
    """Whether the text has one of the words without which no opening can be there."""
    folded = text.casefold()
    return any(mark in folded for mark in marks)


def _tolerant(opening: str) -> str:
    """A pattern for one opening with any dashes and white space."""
    parts = []
    for token in _TOKEN.findall(opening.strip()):
        if any(sign in DASHES for sign in token):
            parts.append(_DASH)
        elif token.isspace():
            parts.append(r"\s+")
        else:
            parts.append(re.escape(token))
    return "".join(parts)
