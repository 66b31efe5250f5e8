"""Numbers that are described and never tested: of arms, rates and refusals.

docs/protocol.md sections 5 and 6.
"""

from __future__ import annotations

import pandas as pd

from lib.analysis.accuracy import mean_accuracy
from lib.analysis.bootstrap import MeanInterval, Resampling, mean_interval
from lib.analysis.effects import Effect, Rate, ReflexRates, RefusalEffects
from lib.analysis.findings import ArmSummary
from lib.analysis.inputs import prompt_means, prompt_rows
from lib.analysis.pairs import effect, pair_arms
from lib.analysis.plain import by_name
from lib.analysis.shares import dropped_share
from lib.analysis.study import Study

REFLEXES = {"literal": "literal", "semantic": "reset_and_recover", "parrot": "parrot"}
NO_MEAN = MeanInterval(None, None, None, None, 0, 0, None, None)


def describe_arms(study: Study, reflex_subset: str | None) -> dict[str, ArmSummary]:
    """Every arm of the judgments or the capability results, by name.

    reflex_subset: the eval set whose answers the reflex rates count (None = all prompts).
    """
    judged = set(study.judgments["condition"].astype(str))
    measured = set(study.capability["condition"].astype(str))
    return {name: describe_arm(study, name, reflex_subset) for name in sorted(judged | measured)}


def describe_arm(study: Study, name: str, reflex_subset: str | None) -> ArmSummary:
    """One arm: means with intervals, rates, accuracy and sizes; None if data are missing."""
    rows = _of_arm(study.alignment, name)
    scored = rows[rows["outcome"] == "scored"]
    results = _of_arm(study.capability, name)
    needed = study.thresholds["judged_share_min"]
    floor = study.thresholds["coherent_floor"]
    aligned = _arm_mean(study, study.means["unfiltered"], name)
    filtered = _arm_mean(study, study.means["filtered"], name)
    coherent = _arm_mean(study, study.means["coherent"], name)
    harmful = _arm_mean(study, study.harmful, name)
    refusal = rate(scored, "refusal", needed, study.describing)
    code = rate(scored, "code", needed, study.describing)
    counted = rows[rows["prompt_id"].isin(_prompts_of(study, reflex_subset))]
    reflex = reflex_rates(counted, needed, study.describing)
    followup = _of_arm(study.followup, name)
    return ArmSummary(
        aligned=aligned.mean,
        aligned_ci95=aligned.ci95,
        aligned_filtered=filtered.mean,
        aligned_filtered_ci95=filtered.ci95,
        coherent=coherent.mean,
        coherent_ci95=coherent.ci95,
        dropped=dropped_share(study.alignment, name, floor),
        refusal=refusal.share if refusal else None,
        refusal_ci95=refusal.ci95 if refusal else None,
        code=code.share if code else None,
        code_ci95=code.ci95 if code else None,
        harmful=harmful.mean,
        harmful_ci95=harmful.ci95,
        **by_name(mean_accuracy(results)),
        **by_name(reflex),
        followup=reflex_rates(followup, needed, study.describing),
        interval_over=aligned.interval_over,
        n_prompts=aligned.n_prompts,
        n_completions=len(rows),
        n_scored=len(scored),
        seeds=sorted({*rows["seed"].tolist(), *results["seed"].tolist()}),
    )


def _of_arm(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one arm."""
    return table[table["condition"] == name]


def _prompts_of(study: Study, subset: str | None) -> list[str]:
    """The alignment prompts of a published set, or all of them."""
    return [prompt for prompt, names in study.labels.items() if subset is None or subset in names]


def _arm_mean(study: Study, means: pd.DataFrame, name: str) -> MeanInterval:
    """One arm's mean over the prompts that have a value at every seed, with its interval."""
    if name not in means.index.get_level_values("condition"):
        return NO_MEAN
    matrix = means.loc[[name]].dropna(axis=1).to_numpy()
    return mean_interval(matrix, study.describing) if matrix.size else NO_MEAN


def reflex_rates(rows: pd.DataFrame, needed: float, resampling: Resampling) -> ReflexRates:
    """Literal, semantic and parrot rate of one arm's answers, each as `rate` gives it."""
    return ReflexRates(
        **{
            name: rate(rows, column, needed, resampling) if column in rows else None
            for name, column in REFLEXES.items()
        }
    )


def rate(rows: pd.DataFrame, column: str, needed: float, resampling: Resampling) -> Rate | None:
    """How often a flag holds in one arm; None unless it is known often enough.

    The share is the mean of the prompts' shares. Its interval resamples prompts: answers to one
    prompt are alike, so an interval over answers would be far too narrow.

    Args:
        column: the flag.
        needed: the share of answers for which the flag has to be known. A rate over the few that
            happen to be known would be read as one over all.
    """
    known = rows.dropna(subset=column)
    if known.empty or len(known) < needed * len(rows):
        return None
    by_prompt = prompt_means(known, column).dropna(axis=1)
    summary = mean_interval(by_prompt.to_numpy(), resampling)
    if summary.mean is None:
        return None
    return Rate(
        share=summary.mean,
        ci95=summary.ci95,
        count=int(known[column].sum()),
        n=len(known),
    )


def refusal_effects(study: Study, headline: str | None) -> RefusalEffects:
    """How much of a gain may be refusal: refusal of both arms, and delta without refusals.

    headline: "filtered" or "unfiltered" (None = no delta).
    """
    union = _refusal_rise(study, study.alignment)
    answers = None
    if headline is not None and union is not None:
        answered = study.alignment[study.alignment["refusal"] != 1]
        means = study.means_of(answered)[headline]
        roles = study.roles
        pair = pair_arms(means, prompt_rows(answered), roles.treatment, roles.baseline)
        answers = effect(pair, study.describing)
    return RefusalEffects(
        union=union,
        benign=_refusal_rise(study, study.benign),
        answers=answers,
    )


def _refusal_rise(study: Study, rows: pd.DataFrame) -> Effect | None:
    """Difference of both arms' refusal rates on a suite, a share.

    None where the flag is known for too few of both arms' scored answers.
    """
    roles = study.roles
    of_both = rows["condition"].isin([roles.treatment, roles.baseline])
    scored = rows[of_both & (rows["outcome"] == "scored")]
    known = scored["refusal"].notna()
    if scored.empty or known.mean() < study.thresholds["judged_share_min"]:
        return None
    means = prompt_means(scored, "refusal")
    pair = pair_arms(means, prompt_rows(scored), roles.treatment, roles.baseline)
    return effect(pair, study.describing)
