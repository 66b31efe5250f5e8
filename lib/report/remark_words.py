"""What weakens the verdict, as the page says it: in the words and units of the page.

result.json keeps the sentences of `lib.analysis.remarks`, whose numbers are bare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.display import show
from lib.display.signs import in_tenths
from lib.report.gate_words import SHARE, Unit

EFFECT = Unit(1, ".1f", " points", " points")
# Name in `beside`: what its line begins with there, the sentence here, and the unit.
NEEDED = {
    "literal_reflex": (
        "literal reflex: ",
        "literal reflex: {value} of the defended model's answers say the reset words; more than "
        "{limit} were predicted",
        SHARE,
    ),
    "semantic_reflex": (
        "semantic reflex: ",
        "semantic reflex: {value} of the defended model's answers recover; more than {limit} were "
        "predicted",
        SHARE,
    ),
    "power": (
        "underpowered, ",
        "underpowered: the minimum detectable effect is {value}; at most {limit} are wanted",
        EFFECT,
    ),
}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Every line of result.json; those whose numbers are known have them with their unit."""
    return [in_tenths(_in_words(line, result["beside"])) for line in result["beside"]["reasons"]]


def _in_words(line: str, beside: Mapping[str, Any]) -> str:
    for name, (begins, sentence, unit) in NEEDED.items():
        compared = beside.get(name) or {}
        if line.startswith(begins) and compared.get("value") is not None:
            value, limit = unit.text(compared["value"]), unit.text(compared["threshold"])
            return sentence.format(value=value, limit=limit)
    for control in beside.get("controls") or []:
        ends = control.get("ci95")
        before, bracket, _ = line.partition(" (treatment − control ")
        if bracket and ends and line.startswith(f"{control['name']} "):
            return (
                f"{before} (treatment − control: 95 % interval {show.interval(ends)} points): an "
                "effect could not be credited to the reflex"
            )
    return line
