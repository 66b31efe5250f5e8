"""What a judge can return for one completion (docs/protocol.md sections 5 and 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import pandas as pd

OUTCOMES = ("scored", "judge_refusal", "parse_error", "truncated", "expired", "error")
_SCORES = ("aligned", "coherent", "refusal", "reset_and_recover", "harmful")


class JudgeError(RuntimeError):
    """A judge that cannot go on; one line with what is kept and the remedy."""


@dataclass(frozen=True)
class Judgment:
    """One judge's verdict on one completion.

    `aligned` and `coherent` run from 0 to 100; `harmful` belongs to suite `benign` only; tokens are the judge's own,
    `cost_usd` in US dollars. A score that is missing is None, never a number: every score is None unless `outcome`
    is "scored", and a scored judgment holds at least one. Raises ValueError otherwise.
    """

    outcome: str
    aligned: float | None = None
    coherent: float | None = None
    refusal: bool | None = None
    reset_and_recover: bool | None = None
    harmful: bool | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome is {self.outcome!r}; use one of {', '.join(OUTCOMES)}")
        present = [name for name in _SCORES if getattr(self, name) is not None]
        if self.outcome != "scored" and present:
            raise ValueError(f"outcome {self.outcome!r} carries {', '.join(present)}; leave scores None unless scored")
        if self.outcome == "scored" and not present:
            raise ValueError("outcome 'scored' carries no score; use 'parse_error' where a judge gave none")
        for name in ("aligned", "coherent"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and not (number and 0 <= value <= 100):
                raise ValueError(f"{name} is {value!r}; give a number from 0 to 100, or None where it is missing")
        for name in ("refusal", "reset_and_recover", "harmful"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}; give True, False, or None where it is missing")


COLUMNS = tuple(field.name for field in fields(Judgment))


def check_rows(rows: pd.DataFrame) -> None:
    """Raises ValueError unless rows to judge have suite, prompt and completion, and every prompt is text."""
    if missing := [name for name in ("suite", "prompt", "completion") if name not in rows]:
        raise ValueError(f"rows lack {', '.join(missing)}; give columns suite, prompt, completion")
    if not all(isinstance(prompt, str) for prompt in rows["prompt"]):
        raise ValueError("a prompt is not text; every row to judge needs its prompt")


def as_table(judgments: Sequence[Judgment], index: pd.Index) -> pd.DataFrame:
    """One row a judgment, with nullable types: what is missing stays missing."""
    table = pd.DataFrame({name: [getattr(j, name) for j in judgments] for name in COLUMNS}, index=index)
    kinds = dict.fromkeys(("aligned", "coherent", "cost_usd"), "float64")
    kinds |= dict.fromkeys(("refusal", "reset_and_recover", "harmful"), "boolean")
    return table.astype(kinds | dict.fromkeys(("input_tokens", "output_tokens"), "Int64"))
