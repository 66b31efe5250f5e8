"""What `lib.analysis.stats.analyse` returns, field by field; result.json has the same names.

Differences and means are points 0-100, shares 0-1 (docs/protocol.md section 6). What is missing is
None and named in `Analysis.missing`, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib.analysis.effects import (
    AccuracyDifferences,
    BaseEffect,
    ControlEffects,
    Effect,
    FarField,
    GateIntervals,
    Rate,
    ReflexRates,
    RefusalEffects,
    SecondJudgeEffect,
    SeedDelta,
    StrippedEffect,
    TestedEffect,
)
from lib.config.roles import ComparedArms

NO_RATES = ReflexRates()


@dataclass(frozen=True)
class ArmSummary:
    """One arm by itself: means of per-prompt means in points, rates as shares; None if missing."""

    aligned: float | None = None  # unfiltered
    aligned_ci95: Sequence[float] | None = None  # lower and upper end, as all intervals
    aligned_filtered: float | None = None  # coherent answers that are not code
    aligned_filtered_ci95: Sequence[float] | None = None  # points
    coherent: float | None = None  # unfiltered
    coherent_ci95: Sequence[float] | None = None  # points
    dropped: float | None = None  # share of scored answers that the filter drops
    refusal: float | None = None  # share of scored answers
    refusal_ci95: Sequence[float] | None = None  # share
    code: float | None = None  # share of scored answers
    code_ci95: Sequence[float] | None = None  # share
    harmful: float | None = None  # points, on the benign suite
    harmful_ci95: Sequence[float] | None = None  # points
    acc: float | None = None  # capability, share of items
    acc_stderr: float | None = None  # standard error of `acc`
    acc_norm: float | None = None  # the same, normalised by answer length
    acc_n: float | None = None  # items, of the seed with the fewest
    literal: Rate | None = None  # of the reflex, on `Analysis.reflex_subset`
    semantic: Rate | None = None  # of the reflex, as the judge sees it
    parrot: Rate | None = None  # the reset string without a recovery
    followup: ReflexRates = NO_RATES  # in the turn after "continue"
    interval_over: str | None = None  # what `aligned_ci95` is over
    n_prompts: int = 0  # prompts with an unfiltered mean at every seed
    n_completions: int = 0  # alignment answers
    n_scored: int = 0  # those of them with outcome `scored`
    seeds: Sequence[int] = ()  # of judgments and capability


@dataclass(frozen=True)
class LeftOutPrompt:
    """A prompt that left a comparison because an arm has no usable answer."""

    prompt_id: str  # of the eval set
    scores: str  # "filtered" or "unfiltered"
    comparison: str  # the two arms, "left - right"
    emptied: Sequence[str]  # arm and seed of each gap
    reasons: Sequence[str]  # the same with the cause


@dataclass(frozen=True)
class AbsentPrompt:
    """A prompt that the alignment suite asked of another arm or seed, but not of this one."""

    condition: str  # the arm that was not asked
    seed: int  # of its training run
    prompt_id: str  # of the eval set


@dataclass(frozen=True)
class PromptRow:
    """Both arms' means over seeds on one prompt, points; None where the prompt left."""

    prompt_id: str  # of the eval set
    subset: str | None  # published sets that hold it, joined by "+"; None: no set
    treatment_filtered: float | None  # over coherent answers that are not code
    baseline_filtered: float | None  # the same
    difference_filtered: float | None  # treatment - baseline
    treatment_unfiltered: float | None  # over all scored answers
    baseline_unfiltered: float | None  # the same
    difference_unfiltered: float | None  # treatment - baseline


@dataclass(frozen=True)
class Histogram:
    """The resampled deltas of the test, cut into bins."""

    edges: Sequence[float]  # points; one more than there are counts
    counts: Sequence[int]  # resamples in each bin


@dataclass(frozen=True)
class Analysis:
    """Every statistic of one run. `lib.analysis.gates.decide` turns it into a verdict."""

    roles: ComparedArms  # which arm plays which part
    headline: str | None  # which number is tested, "filtered" or "unfiltered"; None without a pair
    headline_reason: str  # why that one
    # The headline's numbers, once more; all None without a pair.
    delta: float | None  # treatment - baseline, points
    p_value: float | None  # one-sided
    ci95: Sequence[float] | None  # lower and upper end, points
    ci90: Sequence[float] | None  # its lower end is what the one-sided test asks
    interval_over: str | None  # "prompts", or "prompts and seeds"
    n_prompts: int | None  # that both arms answered
    n_seeds: int | None  # that both arms have
    per_seed: Sequence[SeedDelta] | None  # every seed's difference
    mde: float | None  # minimum detectable effect, points
    standard_error: float | None  # of delta, points
    interval_note: str | None  # what the interval is over, in words
    filtered: TestedEffect | None  # over coherent answers that are not code
    unfiltered: TestedEffect | None  # over all scored answers
    drop_shares: Mapping[str, float | None]  # by arm: scored answers that the filter drops
    prompts_left_out: Sequence[LeftOutPrompt]  # of the tested comparison and of gate 1
    prompts_absent: Sequence[AbsentPrompt]  # asked of one arm and seed, but not of another
    judged_share: Mapping[str, float | None]  # by arm, its worst seed; None: no judgments
    judged_share_by_seed: Mapping[str, Mapping[str, float]]  # by arm, then seed (as text)
    code_known: bool  # whether any alignment judgment says if the answer is code
    baseline_code_share: float | None  # code among the baseline's scored answers
    subsets: Mapping[str, Effect | None]  # treatment - baseline by published set
    arms: Mapping[str, ArmSummary]  # every arm by name
    reflex_subset: str | None  # the set whose answers the reflex rates count; None: all prompts
    base_minus_baseline: float | None  # gate 1, points, unfiltered
    base_minus_baseline_filtered: float | None  # gate 1, points
    gate_intervals: GateIntervals  # of gates 1 and 5
    em_control: BaseEffect | None  # base - the arm trained on the EM set's control; None: no such
    share_recovered: float | None  # delta / (base - baseline); None below gate 1's damage
    far_field: FarField | None  # without the EM set's own field; None: no prompt of it is listed
    harmful_difference: float | None  # gate 2: treatment - baseline on the benign suite, points
    harmful_ci95: Sequence[float] | None  # lower and upper end, points
    harmful_prompts_left_out: Sequence[str]  # prompt ids without a scored benign answer in an arm
    harmful_gaps: Sequence[str]  # one line for each arm and seed that was judged too little
    coherence_difference: float | None  # gate 5: treatment - baseline, points, unfiltered
    acc_difference: float | None  # gate 4: treatment - baseline, share
    acc_differences: AccuracyDifferences  # with their errors
    controls: Mapping[str, ControlEffects]  # by name
    controls_judged_too_little: Sequence[str]  # their comparisons are not shown
    refusals: RefusalEffects  # how much of a gain may be refusal
    second_judge: SecondJudgeEffect | None  # None: there is no second judge
    stripped: StrippedEffect | None  # None: nothing was judged again
    per_prompt: Sequence[PromptRow]  # empty without a shared seed
    resampled_histogram: Histogram | None  # None below two prompts
    n_resamples: int  # of the tested comparison
    random_seed: int  # of the resampling
    missing: Sequence[str]  # one line for each thing that is missing

    def to_dict(self) -> dict[str, Any]:
        """As in result.json."""
        second = self.second_judge.to_dict() if self.second_judge else None
        return asdict(self) | {"second_judge": second}
