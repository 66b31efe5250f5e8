"""The gates as a ladder in words: what each asks, what was measured, and how far from the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lib.display import show
from lib.report.gate_words import ASKED, CODE_MEASURE, LAST, SHARE, Asked, Unit
from lib.report.read_result import failed_checks


class Fact(NamedTuple):
    """One number of a gate in words."""

    label: str
    value: str
    more: Sequence[str]  # bound, margin and interval


@dataclass(frozen=True)
class Rung:
    """One gate as the page shows it."""

    number: int
    name: str  # the verdict where it fails
    question: str
    state: str  # a key of show.GATE_STATES
    words: str  # the state
    outcome: str | None  # what the answer is
    facts: Sequence[Fact]  # its numbers
    track: Mapping[str, float] | None  # where value and interval lie, percent; the bound is at 50


def rungs(result: Mapping[str, Any]) -> list[Rung]:
    """Every gate of a result in its order."""
    found = []
    decided = False
    supported = result["verdict"].startswith("supported")
    for gate in result["gates"]:
        if gate["number"] == LAST:
            state = "reached" if supported else "unreached"
        elif decided:
            state = "unreached"
        elif gate["name"] == result["verdict"]:
            state = "failed"
            decided = True
        else:
            state = "passed" if gate["passed"] else "unreached"
        found.append(_rung(gate, state, result))
    return found


def _rung(gate: Mapping[str, Any], state: str, result: Mapping[str, Any]) -> Rung:
    asked = ASKED[gate["number"]]
    outcome = {"passed": asked.passed, "failed": asked.failed, "reached": asked.passed}.get(state)
    unsound = state == "failed" and gate["number"] == 0
    # If a check failed, the gate's own number may well hold, and showing it would mislead.
    by_check = failed_checks(result) if unsound else []
    if by_check:
        outcome = f"{asked.failed} The check that failed: {', '.join(by_check)}."
    elif unsound:
        outcome = f"{asked.failed} Reason: {result['verdict_reason']}."
    return Rung(
        number=gate["number"],
        name=gate["name"],
        question=asked.question,
        state=state,
        words=show.GATE_STATES[state],
        outcome=outcome,
        facts=[] if by_check or gate["number"] == LAST else _facts(gate, result),
        track=None if by_check else _track(gate, result),
    )


def _facts(gate: Mapping[str, Any], result: Mapping[str, Any]) -> list[Fact]:
    """Every number of a gate."""
    asked = ASKED[gate["number"]]
    parts = gate.get("parts") or [gate]
    labels = [asked.measure]
    if len(parts) > 1:
        labels = [_label(asked, part["measure"]) for part in parts]
    facts = []
    for part, label in zip(parts, labels, strict=True):
        unit = SHARE if part["measure"] == CODE_MEASURE else asked.unit
        facts.append(_fact(part, label, unit, unit.span(_interval(gate["number"], part, result))))
    return facts


def _label(asked: Asked, measure: str) -> str:
    """One of a gate's several numbers in words."""
    if measure == CODE_MEASURE:
        return "program code among the undefended model's answers"
    kind = "coherent answers alone" if measure.endswith(", filtered") else "all answers"
    return f"{asked.measure}, {kind}"


def _fact(part: Mapping[str, Any], label: str, unit: Unit, span: str | None) -> Fact:
    """A number with its bound, margin and interval."""
    value = part.get("value")
    if value is None:
        return Fact(label, "not measured", [])
    more = [_needed(part, unit)]
    if (margin := part.get("margin")) is not None:
        # Gate 0 fails for other reasons too, so that its own number may well hold.
        holds = margin >= 0 if part.get("name") == "invalid" else part.get("passed")
        more.append(f"{unit.distance(margin)} {_side(part, bool(holds))}")
    if span:
        more.append(f"95 % interval {span}")
    return Fact(label, unit.text(value), more)


def _side(part: Mapping[str, Any], holds: bool) -> str:
    """On which side of its bound a number lies."""
    if holds:
        return "to spare"
    return "above the limit" if str(part.get("needed") or "").startswith("<") else "short"


def _needed(part: Mapping[str, Any], unit: Unit) -> str:
    """The bound in words."""
    sign = str(part.get("needed") or "").split(" ")[0]
    words = {">=": "at least", ">": "more than", "<": "less than", "<=": "at most"}
    if sign not in words or part.get("threshold") is None:
        return f"needed: {part.get('needed')}"
    return f"needed: {words[sign]} {unit.text(part['threshold'])}"


def _interval(
    number: int, part: Mapping[str, Any], result: Mapping[str, Any]
) -> Sequence[float | None] | None:
    """The interval of one of a gate's numbers, where one is computed."""
    described = result.get("gate_intervals") or {}
    if number == 1 and part["measure"] != CODE_MEASURE:
        kind = "_filtered" if part["measure"].endswith(", filtered") else ""
        return described.get(f"base_minus_baseline{kind}")
    if number == 5:
        return described.get("coherence_difference")
    if number == 1:
        baseline = result["arms"].get(result["roles"]["baseline"]) or {}
        return baseline.get("code_ci95")
    if number == 2:
        return result.get("harmful_ci95")
    if number == 3:
        return result.get("ci95")
    if number == 4:
        differences = result.get("acc_differences") or {}
        return (differences.get("treatment_minus_baseline") or {}).get("ci95")
    return None


def _track(gate: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float] | None:
    """Where value and interval lie on a line with the bound in its middle, the good side right.

    None where there is no number. The line is as long as the larger of margin and bound.
    """
    margin = gate.get("margin")
    threshold = gate.get("threshold")
    if margin is None or threshold is None:
        return None
    up = str(gate.get("needed") or ">").startswith(">")
    ends = _interval(gate["number"], gate, result)
    ends = None if not ends or None in ends else ends
    margins = [end - threshold if up else threshold - end for end in ends or []]
    reach = 1.15 * max([abs(margin), abs(threshold), *map(abs, margins), 1e-9])

    def place(distance: float) -> float:
        return round(50 + 50 * distance / reach, 1)

    placed = {"value": place(margin)}
    if margins:
        placed |= {"low": place(min(margins)), "high": place(max(margins))}
    return placed


def summary(result: Mapping[str, Any]) -> str:
    """How far the run came, in one sentence."""
    states = [rung.state for rung in rungs(result)]
    if "reached" in states:
        return "All gates are passed."
    if "failed" not in states:
        return "No gate decides, because data are missing."
    stopped = states.index("failed")
    question = ASKED[stopped].question
    if stopped == 0:
        return f"It stops at the first question: “{question}”"
    passed = show.plural(stopped, "gate is", "gates are")
    return f"{passed} passed; it stops at the question: “{question}”"
