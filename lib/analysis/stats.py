"""From judgment and capability tables to every number of the report (docs/protocol.md section 6).

One comparison is tested, `treatment` against `baseline` on the alignment suite; all else is
described.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd

from lib.analysis import by_prompt, far_field, headline, rejudged, shares
from lib.analysis.accuracy import accuracy_difference
from lib.analysis.arms import describe_arms, refusal_effects
from lib.analysis.bootstrap import Resampling
from lib.analysis.confirmatory import TreatmentComparison, compare_treatment, histogram
from lib.analysis.effects import (
    AccuracyDifferences,
    BaseEffect,
    ControlEffects,
    Effect,
    GateIntervals,
    TestedEffect,
)
from lib.analysis.findings import Analysis
from lib.analysis.headline import KINDS
from lib.analysis.inputs import prompt_rows
from lib.analysis.limits import DECIMALS
from lib.analysis.missing import missing_lines
from lib.analysis.pairs import BaseDifference, base_difference, effect, mean_difference, pair_arms
from lib.analysis.plain import by_name, plain
from lib.analysis.study import Study
from lib.analysis.validation import validate_capability, validate_judgments
from lib.config.roles import PLANNED, ComparedArms

TESTED = [field.name for field in fields(TestedEffect)]


def analyse(
    judgments: pd.DataFrame,
    capability: pd.DataFrame,
    *,
    thresholds: Mapping[str, float],
    roles: ComparedArms = ComparedArms(),  # noqa: B008 (frozen)
    reflex_subset: str | None = None,
    n_resamples: int = 10_000,
    random_seed: int = 0,
    second: pd.DataFrame | None = None,
    near_field: Collection[str] = (),
) -> Analysis:
    """Every statistic of one run, as JSON-ready types; `gates.decide` turns it into a verdict.

    Nine parameters: the tables, and each choice that a pre-registration has to name.

    Args:
        judgments, capability: the tables of lib/analysis/validation.py, all seeds and arms.
        thresholds: params/gates.yaml.
        reflex_subset: the eval set whose answers the reflex rates count (None = all prompts).
        second: the second judge's rows, in the form of `judgments`.
        near_field: ids of eval prompts in the EM set's own field (`data.near_field`).

    Raises SchemaError.
    """
    study = Study(
        judgments=validate_judgments(judgments, "judgments"),
        capability=validate_capability(capability, "capability"),
        roles=roles,
        thresholds=thresholds,
        resampling=Resampling(n_resamples, random_seed, int(thresholds["seeds_for_interval"])),
    )
    comparison = compare_treatment(study)
    analysis = _analysis(study, comparison, reflex_subset, second, near_field)
    missing = missing_lines(analysis, study, comparison.seeds)
    return plain(replace(analysis, missing=missing))


def _analysis(
    study: Study,
    comparison: TreatmentComparison,
    reflex_subset: str | None,
    second: pd.DataFrame | None,
    near_field: Collection[str],
) -> Analysis:
    """All fields but `missing`.

    Its many lines: each field of `Analysis` is named once.
    """
    roles = study.roles
    kind = comparison.headline
    tested = comparison.tested
    judged = shares.judged_by_seed(study.alignment)
    named = dict.fromkeys([roles.base, roles.baseline, roles.treatment, *roles.controls, *judged])
    judged_share = {name: shares.lowest(judged.get(name)) for name in named}
    enough = _enough(study, judged_share)
    gate_one = _gate_one(study)
    harm = _harm(study, comparison.seeds)
    accuracy = _accuracy(study, comparison.seeds)
    acc = accuracy.treatment_minus_baseline
    coherence = pair_arms(study.means["coherent"], study.asked, roles.treatment, roles.baseline)
    floor = study.thresholds["coherent_floor"]
    return Analysis(
        roles=roles,
        headline=kind,
        headline_reason=comparison.reason,
        **(by_name(tested) if tested else dict.fromkeys(TESTED)),
        interval_note=headline.interval_note(tested, study.resampling.seeds_for_interval),
        filtered=comparison.effects["filtered"],
        unfiltered=comparison.effects["unfiltered"],
        drop_shares={name: shares.dropped_share(study.alignment, name, floor) for name in judged},
        prompts_left_out=by_prompt.left_out_prompts(study, comparison.pairs, gate_one),
        prompts_absent=by_prompt.absent_prompts(study.asked),
        judged_share=judged_share,
        judged_share_by_seed=judged,
        code_known=bool(study.alignment["code"].notna().any()),
        baseline_code_share=shares.code_share(study.alignment, roles.baseline),
        subsets=_subsets(study, kind),
        arms=describe_arms(study, reflex_subset),
        reflex_subset=reflex_subset,
        base_minus_baseline=gate_one["unfiltered"].value,
        base_minus_baseline_filtered=gate_one["filtered"].value,
        gate_intervals=GateIntervals(
            base_minus_baseline=gate_one["unfiltered"].ci95(study.describing),
            base_minus_baseline_filtered=gate_one["filtered"].ci95(study.describing),
            coherence_difference=_ci95(effect(coherence, study.describing)),
        ),
        em_control=_em_control(study),
        share_recovered=far_field.share_recovered(study, tested, gate_one, kind),
        far_field=far_field.far_field(study, kind, near_field),
        harmful_difference=harm.effect.delta if harm.effect else None,
        harmful_ci95=harm.effect.ci95 if harm.effect else None,
        harmful_prompts_left_out=harm.left_out,
        harmful_gaps=harm.gaps,
        coherence_difference=mean_difference(coherence),
        acc_difference=acc.difference if acc else None,
        acc_differences=accuracy,
        controls={name: _control(study, kind, name, enough[name]) for name in roles.controls},
        controls_judged_too_little=[
            name for name in roles.controls if judged_share[name] is not None and not enough[name]
        ],
        refusals=refusal_effects(study, kind),
        second_judge=rejudged.second_judge_effect(study, second, kind),
        stripped=rejudged.stripped_effect(study, kind),
        per_prompt=by_prompt.prompt_table(study, comparison.pairs),
        resampled_histogram=histogram(comparison.tests.get(kind)),
        n_resamples=study.resampling.n_resamples,
        random_seed=study.resampling.random_seed,
        missing=[],
    )


def _enough(study: Study, judged_share: Mapping[str, float | None]) -> dict[str, bool]:
    """Which arms were judged enough for their comparison to be shown."""
    needed = study.thresholds["judged_share_min"]
    return {
        arm: share is not None and round(share, DECIMALS) >= needed
        for arm, share in judged_share.items()
    }


def _gate_one(study: Study) -> dict[str, BaseDifference]:
    """base - baseline by kind of score."""
    roles = study.roles
    return {
        kind: base_difference(study.means[kind], study.asked, roles.base, roles.baseline)
        for kind in KINDS
    }


def _em_control(study: Study) -> BaseEffect | None:
    """base - the arm that was trained on good answers to the EM set's own questions."""
    means = study.means["unfiltered"]
    found = base_difference(means, study.asked, study.roles.base, PLANNED.em_control)
    if found.value is None:
        return None
    return BaseEffect(found.value, found.ci95(study.describing))


def _ci95(described: Effect | None) -> Sequence[float] | None:
    return described.ci95 if described else None


@dataclass(frozen=True)
class Harm:
    """Gate 2's number, or the gaps in the data that leave none."""

    effect: Effect | None  # treatment - baseline, points; None with a gap
    left_out: list[str]  # prompts without a scored answer in an arm
    gaps: list[str]  # one line for each arm and seed that was judged too little


def _harm(study: Study, seeds: Collection[int]) -> Harm:
    """Harmful rate on the benign suite, at the seeds of the tested comparison."""
    roles = study.roles
    arms = (roles.treatment, roles.baseline)
    gaps = shares.benign_gaps(study.benign, arms, seeds, study.thresholds["judged_share_min"])
    pair = pair_arms(study.harmful, prompt_rows(study.benign), *arms)
    return Harm(
        effect=None if gaps else effect(pair, study.describing),
        left_out=pair.emptied if pair else [],
        gaps=gaps,
    )


def _accuracy(study: Study, seeds: Collection[int]) -> AccuracyDifferences:
    """Gate 4's difference at the seeds of the tested comparison, and the one from base."""
    roles = study.roles
    treatment = roles.treatment
    return AccuracyDifferences(
        accuracy_difference(study.capability, treatment, roles.baseline, seeds),
        accuracy_difference(study.capability, treatment, roles.base),
    )


def _describe(
    study: Study, kind: str | None, left: str, right: str, only: Collection[str] | None = None
) -> Effect | None:
    """Two arms' difference, described. only: the prompts to look at, None = all."""
    means = study.means[kind or "unfiltered"]
    return effect(pair_arms(means, study.asked, left, right, only), study.describing)


def _subsets(study: Study, kind: str | None) -> dict[str, Effect | None]:
    """treatment - baseline on each published set."""
    effects = {}
    for name in sorted(set().union(*study.labels.values())):
        prompts = {prompt for prompt, names in study.labels.items() if name in names}
        roles = study.roles
        effects[name] = _describe(study, kind, roles.treatment, roles.baseline, prompts)
    return effects


def _control(study: Study, kind: str | None, name: str, enough: bool) -> ControlEffects:
    """A control against both arms. One that was judged too little is named and not compared."""
    if not enough:
        return ControlEffects(None, None)
    roles = study.roles
    return ControlEffects(
        against_baseline=_describe(study, kind, name, roles.baseline),
        treatment_minus_control=_describe(study, kind, roles.treatment, name),
    )
