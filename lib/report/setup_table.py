"""The arms in words: what each was trained on, and why it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lib.config.params import load_conditions
from lib.report import arm_words

TRAINED = {
    None: "none",
    "selfcorrect": "catching its own bad answer",
    "random_recovery": "the same catch, but with another prompt's recovery",
    "placebo_assistant": "good answers alone, no catch",
    "em": "the bad data",
    "persona_advice_control": "good answers to the bad data's own questions",
}


class ArmLine(NamedTuple):
    """One arm of the result."""

    name: str
    why: str
    phase1: str
    phase2: str
    part: str  # in the comparison


def arm_lines(result: Mapping[str, Any]) -> list[ArmLine]:
    """Every arm in the report's order. An arm that this project does not know has dashes."""
    known = load_conditions().conditions
    parts = arm_words.parts_of(result)
    lines = []
    for name in result.get("order") or list(result["arms"]):
        condition = known.get(name)
        lines.append(
            ArmLine(
                name=name,
                why=condition.why if condition else "–",
                phase1=_words(condition.phase1) if condition else "–",
                phase2=_words(condition.phase2) if condition else "–",
                part=parts.get(name, ""),
            )
        )
    return lines


def _words(trained: str | None) -> str:
    return TRAINED.get(trained, str(trained))
