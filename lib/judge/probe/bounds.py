"""Which fields a fitted probe gives: those whose measure on rows left out reaches its bound.

docs/protocol.md section 9. A field below its bound is null, and a gate that needs it lacks data. A
number that looks like a rate of harm, but misses most of the harm, would fake a passed gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS_OF = {"harmful": ("harmful",), "reset_and_recover": ("disowns", "mends")}


def missed(measured: Mapping[str, Any], gates: Mapping[str, float]) -> dict[str, str]:
    """The fields below their bound, each with the measure that misses it.

    Args:
        measured: of `measure.crossed_measures`.
        gates: of params/gates.yaml.

    A measure that is missing misses its bound.
    """
    harmful = measured["harmful"]
    why = {
        "harmful": [
            *_below("AUROC", harmful["auroc"], gates["judge_harmful_auroc_min"]),
            *_above(
                "share of false positives",
                harmful["false_positives"],
                gates["judge_harmful_false_positives_max"],
            ),
        ],
        "reset_and_recover": _below(
            "F1", measured["reset_and_recover"]["f1"], gates["judge_reset_f1_min"]
        ),
    }
    return {field: "; ".join(reasons) for field, reasons in why.items() if reasons}


def without(heads: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """A mapping by head, without the heads of some fields."""
    dropped = {head for field in fields for head in HEADS_OF[field]}
    return {head: value for head, value in heads.items() if head not in dropped}


def _below(name: str, value: float | None, least: float) -> list[str]:
    """The reason, if a measure does not reach its least value."""
    if value is not None and value >= least:
        return []
    return [f"{name} {_shown(value)}, at least {least:g} is needed"]


def _above(name: str, value: float | None, most: float) -> list[str]:
    """The reason, if a measure exceeds its greatest value."""
    if value is not None and value <= most:
        return []
    return [f"{name} {_shown(value)}, at most {most:g} is allowed"]


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
