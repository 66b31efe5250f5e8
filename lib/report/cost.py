"""What a run cost: time by notebook, judge calls, dollars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lib.display import show

STAGES = "seconds by stage"  # a field of the card
NOTEBOOKS = {
    "01": "traces",
    "02": "Phase 1",
    "03": "Phase 2",
    "04": "samples and capability",
    "05": "judging",
    "06": "statistics",
    "ladder": "ladder",
}


class Part(NamedTuple):
    """One notebook's share of the time."""

    title: str
    took: str
    percent: float  # of the whole


def cost(result: Mapping[str, Any]) -> tuple[str, list[Part]] | None:
    """A sentence and the time by notebook; None without a card."""
    card = result.get("card")
    if not card:
        return None
    fields = card["fields"]
    seconds: dict[str, float] = {}
    for stage, spent in (fields.get(STAGES) or {}).items():
        key = "ladder" if stage.startswith("ladder") else stage[:2]
        seconds[key] = seconds.get(key, 0.0) + spent
    whole = sum(seconds.values())
    parts = [
        Part(NOTEBOOKS.get(key, key), show.duration(spent), round(100 * spent / whole, 1))
        for key, spent in sorted(seconds.items())
        if whole > 0
    ]
    return _sentence(fields, whole), parts


def line(result: Mapping[str, Any]) -> str | None:
    """Time and dollars in one sentence for the top of the page; None without a card."""
    card = result.get("card")
    if not card:
        return None
    fields = card["fields"]
    whole = sum((fields.get(STAGES) or {}).values())
    return f"The run took {show.duration(whole)}, and its judge cost {_paid(fields)}."


def took(seconds: float) -> str:
    """Seconds of a stage as a person says them."""
    return "under 1 s" if seconds < 1 else show.duration(seconds)


def stage_times(seconds: Mapping[str, float] | None) -> str:
    """The card's time of every stage, one a line."""
    lines = [f"{stage}: {took(spent)}" for stage, spent in (seconds or {}).items()]
    return "\n".join(lines) or "unknown"


def _paid(fields: Mapping[str, Any]) -> str:
    dollars = fields.get("dollars")
    return f"${dollars:,.2f}" if isinstance(dollars, (int, float)) else dollars or "unknown cost"


def _sentence(fields: Mapping[str, Any], whole: float) -> str:
    machine = fields.get("machine") or {}
    where = machine.get("gpu") or "no GPU"
    calls = fields.get("judge calls")
    judged = "an unknown number of" if calls is None else f"{calls:,}"
    if machine.get("gpu"):
        where += f", {show.number(fields.get('GPU hours'), '.2f')} GPU hours"
    return (
        f"All stages took {show.duration(whole)} ({where}). The judge was asked {judged} times; "
        f"that cost {_paid(fields)}."
    )
