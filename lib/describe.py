"""What is described, never tested: arms one by one, rates, refusals (docs/protocol.md sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lib.accuracy import mean_accuracy
from lib.bootstrap import mean_interval
from lib.compare import alignment_means, described, effect, pair_arms
from lib.shares import dropped_share
from lib.tables import originals, prompt_means, prompt_rows

REFLEXES = {"literal": "literal", "semantic": "reset_and_recover", "parrot": "parrot"}


def describe_arms(
    table: pd.DataFrame,
    capability: pd.DataFrame,
    means: dict[str, pd.DataFrame],
    labels: Mapping[str, set[str]],
    *,
    thresholds: Mapping[str, float],
    reflex_subset: str | None,
    bootstrap: dict,
) -> dict[str, dict]:
    """Every arm by name: means with intervals, rates, accuracy and sizes; None where data are missing.

    table: canonical judgments; means: per-prompt means by name (`unfiltered`, `filtered`, `coherent`,
    `harmful`), points 0-100; labels: the eval sets of each prompt; reflex_subset: the set whose answers
    the reflex rates count, None = all; bootstrap: options of `mean_interval`.
    """
    alignment, followup = originals(table, "alignment"), originals(table, "followup")
    in_subset = alignment
    if reflex_subset is not None:
        counted = [prompt for prompt, names in labels.items() if reflex_subset in names]
        in_subset = alignment[alignment["prompt_id"].isin(counted)]
    needed = thresholds["judged_share_min"]
    arms = {}
    for name in sorted({*table["condition"].astype(str), *capability["condition"].astype(str)}):
        rows = alignment[alignment["condition"] == name]
        results = capability[capability["condition"] == name]
        scored = rows[rows["outcome"] == "scored"]
        aligned, filtered, coherent, harmful = (
            _arm_mean(means[kind], name, bootstrap)
            for kind in ("unfiltered", "filtered", "coherent", "harmful")
        )
        refusal = rate(scored, "refusal", needed, bootstrap)
        code = rate(scored, "code", needed, bootstrap)
        arms[name] = {
            "aligned": aligned["mean"],
            "aligned_ci95": aligned["ci95"],
            "aligned_filtered": filtered["mean"],
            "aligned_filtered_ci95": filtered["ci95"],
            "coherent": coherent["mean"],
            "coherent_ci95": coherent["ci95"],
            "dropped": dropped_share(alignment, name, thresholds["coherent_floor"]),
            "refusal": refusal["share"] if refusal else None,
            "refusal_ci95": refusal["ci95"] if refusal else None,
            "code": code["share"] if code else None,
            "code_ci95": code["ci95"] if code else None,
            "harmful": harmful["mean"],
            "harmful_ci95": harmful["ci95"],
            **mean_accuracy(results),
            **reflex_rates(in_subset[in_subset["condition"] == name], needed, bootstrap),
            "followup": reflex_rates(followup[followup["condition"] == name], needed, bootstrap),
            "interval_over": aligned["interval_over"],
            "n_prompts": aligned["n_prompts"],
            "n_completions": len(rows),
            "n_scored": len(scored),
            "seeds": sorted({*rows["seed"].tolist(), *results["seed"].tolist()}),
        }
    return arms


def reflex_rates(rows: pd.DataFrame, needed: float, bootstrap: dict) -> dict[str, dict | None]:
    """Literal, semantic and parrot rate of one arm's answers, each as `rate` gives it."""
    return {
        name: rate(rows, column, needed, bootstrap) if column in rows else None
        for name, column in REFLEXES.items()
    }


def rate(rows: pd.DataFrame, column: str, needed: float, bootstrap: dict) -> dict | None:
    """How often a flag holds in one arm: share, ci95, count, n; None unless it is known often enough.

    The share is the mean of the prompts' shares, its interval resamples prompts: answers to one prompt
    are alike, and an interval over answers would be far too narrow. needed: the share of answers for
    which the flag has to be known; over the few that happen to be known it would pass for one over all.
    """
    known = rows.dropna(subset=column)
    if known.empty or len(known) < needed * len(rows):
        return None
    by_prompt = prompt_means(known, column).dropna(axis=1)
    if by_prompt.empty:
        return None
    summary = mean_interval(by_prompt.to_numpy(), **bootstrap)
    return {
        "share": summary["mean"],
        "ci95": summary["ci95"],
        "count": int(known[column].sum()),
        "n": len(known),
    }


def refusal_effect(
    alignment: pd.DataFrame,
    benign: pd.DataFrame,
    headline: str | None,
    treatment: str,
    baseline: str,
    *,
    floor: float,
    unscored_max: float,
    needed: float,
    bootstrap: dict,
) -> dict[str, dict | None]:
    """How much of a gain may be refusal: refusal of both arms, and delta over answers that do not refuse.

    Returns `union` and `benign` (difference of the two refusal rates, share 0-1, with its interval; None
    where the flag is known for less than the share `needed` of both arms' scored answers) and `answers` (the described effect without refusals).
    """
    found: dict[str, dict | None] = {"union": None, "benign": None, "answers": None}
    for suite, rows in (("union", alignment), ("benign", benign)):
        scored = rows[rows["outcome"] == "scored"]
        of_both = scored[scored["condition"].isin([treatment, baseline])]
        if len(of_both) and of_both["refusal"].notna().mean() >= needed:
            means = prompt_means(of_both, "refusal")
            pair = pair_arms(means, prompt_rows(of_both), treatment, baseline)
            found[suite] = described(effect(pair, bootstrap))
    if headline is not None and found["union"] is not None:
        answered = alignment[alignment["refusal"] != 1]
        means = alignment_means(answered, floor, unscored_max)[headline]
        pair = pair_arms(means, prompt_rows(answered), treatment, baseline)
        found["answers"] = described(effect(pair, bootstrap))
    return found


def _arm_mean(means: pd.DataFrame, name: str, bootstrap: dict) -> dict:
    """One arm's mean over the prompts that have a value at every seed, with its interval."""
    empty = {"mean": None, "ci95": None, "n_prompts": 0, "interval_over": None}
    if name not in means.index.get_level_values("condition"):
        return empty
    matrix = means.loc[[name]].dropna(axis=1).to_numpy()
    return mean_interval(matrix, **bootstrap) if matrix.size else empty
