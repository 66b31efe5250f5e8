"""The literal reflex in text: is the opening there, the text without it, and the parrot (docs/protocol.md section 5).

An opening matches whatever its dashes (em, en, minus, hyphen, doubled), its white space and its case; every word and
every other sign must stand as written.
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
    """Whether the text holds one of the openings, anywhere. Raises ValueError without a usable opening."""
    pattern, marks = _compiled(tuple(openings))
    return _may_hold(text, marks) and pattern.search(text) is not None


def reset_spans(text: str, openings: Sequence[str]) -> list[tuple[int, int]]:
    """Where the openings stand in the text, start and end, in order."""
    return [match.span() for match in _compiled(tuple(openings))[0].finditer(text)]


def strip_opening(text: str, openings: Sequence[str]) -> str:
    """The text without any opening, for the stripped re-score; a text that holds none comes back unchanged."""
    # Again until none is left: cutting one opening out can join the halves of another.
    while contains_reset(text, openings):
        found = _compiled(tuple(openings))[0].search(text)
        before, after = text[: found.start()].rstrip(), text[found.end() :].lstrip()
        text = f"{before} {after}" if before and after else before + after
    return text


def is_parrot(text: str, openings: Sequence[str], recovered: bool | None) -> bool | None:
    """Whether the reset is only words: it is there, but no real recovery follows.

    recovered: the judge's `reset_and_recover`; missing (None or NA) stays missing (None). An opening that no word
    follows is a parrot whatever the judge says, since a recovery would have to stand there.
    """
    if not contains_reset(text, openings):
        return False
    if pd.isna(recovered):
        return None
    *_, last = _compiled(tuple(openings))[0].finditer(text)
    return not recovered or re.search(r"\w", text[last.end() :]) is None


def add_reflex_columns(frame: pd.DataFrame, openings: Sequence[str]) -> pd.DataFrame:
    """A copy of the frame with the nullable booleans `literal` and `parrot`.

    frame: `completion` (text) and `reset_and_recover` (nullable boolean). A missing completion gives missing values.
    """
    for column in ("completion", "reset_and_recover"):
        if column not in frame:
            raise ValueError(
                f"reflex columns: the frame lacks column {column!r}; join completions and judgments first"
            )
    rows = list(zip(frame["completion"], frame["reset_and_recover"], strict=True))
    literal = [pd.NA if pd.isna(text) else contains_reset(text, openings) for text, _ in rows]
    parrot = [
        pd.NA if pd.isna(text) else False if not there else is_parrot(text, openings, recovered)
        for (text, recovered), there in zip(rows, literal, strict=True)
    ]
    return frame.assign(
        literal=pd.array(literal, dtype="boolean"),
        parrot=pd.array([pd.NA if value is None else value for value in parrot], dtype="boolean"),
    )


@lru_cache(maxsize=32)
def _compiled(openings: tuple[str, ...]) -> tuple[re.Pattern, frozenset[str]]:
    """One pattern for all openings, and for each its longest word: a text with none of these needs no search."""
    if not openings or not all(re.search(r"\w", opening) for opening in openings):
        raise ValueError(
            f"openings {openings!r}: give one or more texts with words, as in params/conditions.yaml"
        )
    # Longest first, so that an opening that begins like another is cut whole.
    tolerant = "|".join(_tolerant(opening) for opening in sorted(openings, key=len, reverse=True))
    marks = frozenset(max(_TOKEN.findall(opening), key=len).casefold() for opening in openings)
    return re.compile(tolerant, re.IGNORECASE), marks


def _may_hold(text: str, marks: frozenset[str]) -> bool:
    folded = text.casefold()
    return any(mark in folded for mark in marks)


def _tolerant(opening: str) -> str:
    parts = []
    for token in _TOKEN.findall(opening.strip()):
        is_dash = any(sign in DASHES for sign in token)
        parts.append(_DASH if is_dash else r"\s+" if token.isspace() else re.escape(token))
    return "".join(parts)
