"""What weakens the verdict, as the page says it: in the words and units of the page.

result.json keeps the sentences of `lib.analysis.remarks`, whose numbers are bare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.controls import DOES, compared_line
from lib.analysis.remarks import bound_line
from lib.display import show
from lib.display.signs import in_tenths
from lib.report.gate_words import SHARE, Unit

EFFECT = Unit(1, ".1f", " points", " points")
# Name in `beside`: its sentence here, and the unit.
NEEDED = {
    "literal_reflex": (
        "literal reflex: {value} of the defended model's answers say the reset words; more than "
        "{limit} were predicted",
        SHARE,
    ),
    "semantic_reflex": (
        "semantic reflex: {value} of the defended model's answers recover; more than {limit} were "
        "predicted",
        SHARE,
    ),
    "power": (
        "underpowered: the minimum detectable effect is {value}; at most {limit} are wanted",
        EFFECT,
    ),
    "stripped": (
        "scored again without the reset words, the gain is {value}; at least {limit} are needed",
        EFFECT,
    ),
}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Every line of result.json; a bound that is missed has its numbers with their unit."""
    return [in_tenths(_in_words(line, result["beside"])) for line in result["beside"]["reasons"]]


def _in_words(line: str, beside: Mapping[str, Any]) -> str:
    for name, (sentence, unit) in NEEDED.items():
        compared = beside.get(name) or {}
        if compared.get("passed") is False and line == bound_line(name, compared["reason"]):
            value, limit = unit.text(compared["value"]), unit.text(compared["threshold"])
            return sentence.format(value=value, limit=limit)
    for control in beside.get("controls") or []:
        name, does, ends = control["name"], control.get("does"), control.get("ci95")
        if does in DOES and ends and line == compared_line(name, does, ends):
            return (
                f"{name} {DOES[does]} (defended − control: 95 % interval {show.interval(ends)} "
                "points), so an effect could not be credited to the reflex"
            )
    return line
