"""What each arm is called in words, so that a reader need not learn the names of arms first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config.roles import PLANNED, ComparedArms
from lib.display.drawing import one_line

CONTROL = "control"
NO_WORDS: Mapping[str, str] = {}


def parts(roles: ComparedArms) -> dict[str, str]:
    """Each arm that plays a part in a comparison, with that part in one word."""
    return {
        PLANNED.base_evil: "told to be evil",
        PLANNED.habit_only: "habit alone",
        **dict.fromkeys(roles.controls, CONTROL),
        roles.base: "untrained",
        roles.baseline: "undefended",
        roles.treatment: "defended",
    }


def parts_of(result: Mapping[str, Any]) -> dict[str, str]:
    """`parts` of a result.json, which may lack a role."""
    roles = result.get("roles") or {}
    return parts(
        ComparedArms(
            treatment=roles.get("treatment", PLANNED.treatment),
            baseline=roles.get("baseline", PLANNED.baseline),
            base=roles.get("base", PLANNED.base),
            controls=roles.get("controls", ()),
        )
    )


def word_or_name(name: str, words: Mapping[str, str]) -> str:
    """An arm in a sentence: its part, or its name where several arms have that part or none."""
    word = words.get(name)
    return word if word and word != CONTROL else one_line(name, 22)


def labels(names: Sequence[str], words: Mapping[str, str], width: int = 20) -> list[str]:
    """Each arm for an axis of a figure: its part above its name, or its name alone."""
    return [
        f"{words[name]}\n{one_line(name, width)}" if name in words else one_line(name, width)
        for name in names
    ]
