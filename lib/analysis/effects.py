"""Comparisons and rates, field by field: the small parts of `lib.analysis.findings.Analysis`.

Differences are points 0-100 unless a field says otherwise, shares 0-1. What is missing is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Effect:
    """Mean paired difference of two arms with its intervals; described, not tested."""

    delta: float  # in the units of what was compared: points, or a share for refusals
    ci95: Sequence[float] | None  # lower and upper end; None below two prompts
    ci90: Sequence[float] | None  # its lower end is what a one-sided test at 5 % asks
    interval_over: str | None  # "prompts", or "prompts and seeds"; None without an interval
    n_prompts: int  # prompts that both arms answered
    n_seeds: int  # seeds that both arms have


@dataclass(frozen=True)
class SeedDelta:
    """One seed's difference."""

    seed: int  # of the training run
    delta: float  # points


@dataclass(frozen=True)
class TestedEffect(Effect):
    """An effect of treatment - baseline with its test. Only the headline's counts."""

    p_value: float | None  # one-sided; None below two prompts
    per_seed: Sequence[SeedDelta]  # in the order of seeds
    mde: float | None  # minimum detectable effect, points
    standard_error: float | None  # of delta, points


@dataclass(frozen=True)
class StrippedEffect(Effect):
    """Delta when the treatment's answers are judged without their opening."""

    n_replaced: int  # answers that were judged again
    n_lacking: int | None  # answers with the opening but without such a judgment; None: unknown
    scored_share: float | None  # scored ones of the answers judged again; None: there is none


@dataclass(frozen=True)
class SecondJudgeEffect:
    """Delta and gate 1's two numbers by the second judge, on the completions that it scored."""

    effect: Effect | None  # described; None without a pair
    base_minus_baseline: float | None  # points, unfiltered
    base_minus_baseline_filtered: float | None  # points

    def to_dict(self) -> dict[str, Any]:
        """As in result.json, where the effect's numbers are on the same level as gate 1's."""
        missing = dict.fromkeys(("delta", "ci95", "n_prompts"))
        return (asdict(self.effect) if self.effect else missing) | {
            "base_minus_baseline": self.base_minus_baseline,
            "base_minus_baseline_filtered": self.base_minus_baseline_filtered,
        }


@dataclass(frozen=True)
class GateIntervals:
    """95 % intervals of gates 1 and 5, over prompts; described, and no gate reads them."""

    base_minus_baseline: Sequence[float] | None  # points, unfiltered
    base_minus_baseline_filtered: Sequence[float] | None  # points
    coherence_difference: Sequence[float] | None  # points


@dataclass(frozen=True)
class FarField:
    """Gate 1 and delta without the prompts of the EM set's own field."""

    left_out: Sequence[str]  # prompt ids of that field that were asked
    base_minus_baseline: float | None  # points, unfiltered
    base_minus_baseline_filtered: float | None  # points
    effect: Effect | None  # treatment - baseline, described, by the headline's kind of score
    share_recovered: float | None  # effect / damage there; None below gate 1's damage


@dataclass(frozen=True)
class SetControl:
    """What good answers to the EM set's own questions do, beside gate 1; described, not tested."""

    arm: str  # trained on those answers
    filtered: Effect | None  # base - arm, points; None where it was judged too little
    unfiltered: Effect | None  # the same over all scored answers


@dataclass(frozen=True)
class ControlEffects:
    """A control's two comparisons; None where it was judged too little or has no pair."""

    against_baseline: Effect | None  # control - baseline
    treatment_minus_control: Effect | None  # treatment - control


@dataclass(frozen=True)
class RefusalEffects:
    """How much of a gain may be refusal."""

    union: Effect | None  # refusal rate on the alignment suite, treatment - baseline, a share
    benign: Effect | None  # the same on the benign suite
    answers: Effect | None  # delta over answers that are not refusals, points


@dataclass(frozen=True)
class AccuracyDifference:
    """Accuracy of one arm minus another's."""

    difference: float  # share
    stderr: float | None  # standard error; None where an arm's is unknown
    ci95: Sequence[float] | None  # lower and upper end, normal; None without `stderr`
    paired: bool  # whether the error is that of paired item differences
    n_seeds: int  # seeds that both arms have


@dataclass(frozen=True)
class AccuracyDifferences:
    """The two differences of accuracy that the report shows; None where an arm has no accuracy."""

    treatment_minus_baseline: AccuracyDifference | None  # gate 4's, over the seeds of delta
    treatment_minus_base: AccuracyDifference | None  # beside the verdict


@dataclass(frozen=True)
class Rate:
    """How often a flag holds among an arm's answers."""

    share: float  # mean of the prompts' shares
    ci95: Sequence[float] | None  # lower and upper end, over prompts; None below two prompts
    count: int  # answers for which the flag holds
    n: int  # answers for which the flag is known


@dataclass(frozen=True)
class ReflexRates:
    """The reflex in one arm's answers; None where too few answers are known."""

    literal: Rate | None = None  # the reset string is in the answer
    semantic: Rate | None = None  # the judge sees a reset and a recovery
    parrot: Rate | None = None  # the reset string without a recovery
