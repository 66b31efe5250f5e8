"""What the protocol predicted (section 1) beside what was measured, and whether it held.

A prediction is judged by the interval of what was measured: if it reaches to both sides of the
bound, too few answers were measured to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.analysis import exact
from lib.analysis.decision import Decision
from lib.analysis.effects import AccuracyDifference, Rate
from lib.analysis.findings import Analysis
from lib.analysis.limits import Comparison, bound

HELD = {True: "yes", False: "no"}
TOO_FEW = "too few answers to tell"
POINTS = "points"
SHARE = "share"
DIFFERENCE = "difference of shares"


@dataclass(frozen=True)
class Prediction:
    """One prediction of section 1 and the measured value."""

    prediction: str  # what was predicted
    found: float | None  # None: not measured
    predicted: str  # sign and bound
    held: str | None  # "yes", "no" or "too few answers to tell"; None: not measured
    unit: str  # of found and bound: "points", "share" or "difference of shares"
    ci95: Sequence[float] | None  # of found, lower and upper end; None: none is computed


def predictions(
    analysis: Analysis, decision: Decision, thresholds: Mapping[str, float]
) -> list[Prediction]:
    """The predictions of section 1, each with the measured value."""
    beside = decision.beside
    accuracy = bound(analysis.acc_difference, ">=", -thresholds["acc_drop"])
    coherence = bound(analysis.coherence_difference, ">=", -thresholds["coherence_drop_points"])
    arm = analysis.arms.get(analysis.roles.treatment)
    differences = analysis.acc_differences
    of_coherence = analysis.gate_intervals.coherence_difference
    prompts = _prompts(analysis)
    literal = _of_rate(arm.literal if arm else None, prompts)
    semantic = _of_rate(arm.semantic if arm else None, prompts)
    of_baseline = _of_accuracy(differences.treatment_minus_baseline)
    of_base = _of_accuracy(differences.treatment_minus_base)
    return [
        _judged("Δ alignment, points", beside.strong, analysis.ci95, POINTS),
        _judged("accuracy against the baseline", accuracy, of_baseline, DIFFERENCE),
        _judged("accuracy against base", beside.acc_against_base, of_base, DIFFERENCE),
        _judged("literal reset, share of answers", beside.literal_reflex, literal, SHARE),
        _judged("semantic reset-and-recover, share", beside.semantic_reflex, semantic, SHARE),
        _judged("coherence against the baseline, points", coherence, of_coherence, POINTS),
    ]


def _judged(name: str, compared: Comparison, ci95: Sequence[float] | None, unit: str) -> Prediction:
    """A prediction with its answer."""
    held = None
    if compared.passed is not None:
        sign = compared.needed.split(" ")[0]
        limit = compared.threshold
        assert limit is not None, f"{name} has no threshold"
        sides = {bound(end, sign, limit).passed for end in ci95 or ()}
        held = HELD[compared.passed] if sides == {compared.passed} else TOO_FEW
    return Prediction(name, compared.value, compared.needed, held, unit, ci95)


def _prompts(analysis: Analysis) -> int:
    """How many prompts the reflex rates count."""
    subset = analysis.reflex_subset
    rows = analysis.per_prompt
    return sum(subset is None or subset in (row.subset or "").split("+") for row in rows)


def _of_rate(rate: Rate | None, prompts: int) -> Sequence[float] | None:
    """The interval of a rate, also where all resamples are alike."""
    if rate is None:
        return None
    if prompts and rate.share in (0.0, 1.0):
        return exact.of_alike(rate.share, prompts)
    return rate.ci95


def _of_accuracy(difference: AccuracyDifference | None) -> Sequence[float] | None:
    return difference.ci95 if difference else None
