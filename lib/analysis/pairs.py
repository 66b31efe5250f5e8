"""Two arms paired by seed and prompt, and their difference (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import pandas as pd

from lib.analysis.bootstrap import PairedTest, Resampling, paired_bootstrap
from lib.analysis.effects import Effect, SeedDelta, TestedEffect
from lib.analysis.inputs import prompt_means
from lib.analysis.limits import DECIMALS
from lib.analysis.plain import by_name


class Pair(NamedTuple):
    """Two arms' per-prompt means on their shared seeds and prompts, and the prompts that left."""

    left: pd.DataFrame  # (seeds, prompts)
    right: pd.DataFrame  # (seeds, prompts)
    emptied: list[str]


def enters_filter(rows: pd.DataFrame, floor: float) -> pd.Series:
    """Which answers enter the filtered mean: scored, with `aligned`, coherent, and not code."""
    coherent = rows["coherent"].round(DECIMALS) >= floor
    return (rows["outcome"] == "scored") & rows["aligned"].notna() & coherent & (rows["code"] != 1)


def alignment_means(
    alignment: pd.DataFrame, floor: float, unscored_max: float
) -> dict[str, pd.DataFrame]:
    """Per-prompt means, points 0-100: `filtered`, `unfiltered` and `coherent` (section 6).

    Args:
        alignment: canonical originals of the suite.
        floor: the coherence that the filter asks for.
        unscored_max: the largest share of an arm's scored answers that may have no `aligned`.
            Above it the arm has no unfiltered number, and so no unfiltered coherence either.
    """
    filtered = alignment.assign(aligned=alignment["aligned"].where(enters_filter(alignment, floor)))
    unfiltered = alignment
    for column in ("aligned", "coherent"):
        too_few = _arms_without(alignment, column, unscored_max)
        columns = ["aligned", "coherent"] if column == "aligned" else ["coherent"]
        blank = unfiltered["condition"].isin(too_few)
        unfiltered = unfiltered.assign(**{name: unfiltered[name].mask(blank) for name in columns})
    return {
        "filtered": prompt_means(filtered, "aligned"),
        "unfiltered": prompt_means(unfiltered, "aligned"),
        "coherent": prompt_means(unfiltered, "coherent"),
    }


def _arms_without(alignment: pd.DataFrame, column: str, unscored_max: float) -> list[str]:
    """Arms of whose scored answers more than `unscored_max` have no value in a column."""
    scored = alignment[alignment["outcome"] == "scored"]
    shares = scored[column].isna().groupby(scored["condition"].astype(str)).mean().round(DECIMALS)
    return list(shares.index[shares > unscored_max])


def pair_arms(
    means: pd.DataFrame,
    present: pd.DataFrame,
    left: str,
    right: str,
    only: Collection[str] | None = None,
) -> Pair | None:
    """Two arms on their shared seeds. A prompt without a mean in either, at any seed, leaves both.

    Prompts that neither arm was asked do not count.

    Args:
        means, present: `prompt_means` and `prompt_rows` of one suite.
        only: the prompts to look at (None = all).

    Returns None without a shared seed.
    """
    arms = means.index.get_level_values("condition")
    if left not in arms or right not in arms:
        return None
    first = means.loc[left]
    second = means.loc[right]
    seeds = first.index.intersection(second.index)
    asked = (present.loc[[left, right]] > 0).any()
    prompts = [prompt for prompt in asked.index[asked] if only is None or prompt in only]
    if seeds.empty or not prompts:
        return None
    first = first.loc[seeds, prompts]
    second = second.loc[seeds, prompts]
    whole = (first.notna() & second.notna()).all()
    return Pair(first.loc[:, whole], second.loc[:, whole], list(whole.index[~whole]))


def paired_test(pair: Pair | None, resampling: Resampling) -> PairedTest | None:
    """`paired_bootstrap` of a pair; None without a prompt."""
    if pair is None or pair.left.empty:
        return None
    left = pair.left.to_numpy()
    return paired_bootstrap(left, pair.right.to_numpy(), **by_name(resampling))


def effect(pair: Pair | None, resampling: Resampling) -> Effect | None:
    """The difference of a pair, described: without its test. None without a prompt."""
    test = paired_test(pair, resampling)
    return None if test is None else Effect(**_described(test))


def tested_effect(pair: Pair | None, test: PairedTest | None) -> TestedEffect | None:
    """A pair's test in full, with every seed's difference; None without a prompt."""
    if pair is None or test is None:
        return None
    by_seed = (pair.left - pair.right).mean(axis=1)
    return TestedEffect(
        **_described(test),
        p_value=test.p_value,
        per_seed=[SeedDelta(seed, delta) for seed, delta in by_seed.items()],
        mde=test.mde,
        standard_error=test.standard_error,
    )


def _described(test: PairedTest) -> dict[str, Any]:
    """The fields that a test shares with a mere description."""
    return {field.name: getattr(test, field.name) for field in fields(Effect)}


def mean_difference(pair: Pair | None) -> float | None:
    """Mean of left - right, without an interval."""
    if pair is None or pair.left.empty:
        return None
    return float((pair.left - pair.right).to_numpy().mean())


class BaseDifference(NamedTuple):
    """mean(base) - mean(baseline) in points (None: no number), and the prompts left out."""

    value: float | None
    emptied: list[str]
    by_prompt: pd.Series | None = None  # the difference on every prompt that stays

    def ci95(self, resampling: Resampling) -> Sequence[float] | None:
        """The interval of the value over prompts; None below two prompts."""
        if self.by_prompt is None or self.by_prompt.empty:
            return None
        differences = self.by_prompt.to_numpy()[None, :]
        test = paired_bootstrap(differences, 0 * differences, **by_name(resampling))
        return test.ci95


def base_difference(
    means: pd.DataFrame, present: pd.DataFrame, base: str, baseline: str
) -> BaseDifference:
    """Gate 1's number: each arm's mean over all its own seeds, as no seed trained the base.

    A prompt without a mean in one arm is left out of both. There is no number if an arm is missing,
    or if base was not asked the same prompts as baseline.
    """
    arms = means.index.get_level_values("condition")
    if base not in arms or baseline not in arms:
        return BaseDifference(None, [])
    base_asked = (present.loc[base] > 0).any()
    baseline_asked = (present.loc[baseline] > 0).any()
    if (baseline_asked & ~base_asked).any():
        return BaseDifference(None, [])
    difference = means.loc[base].mean(skipna=False) - means.loc[baseline].mean(skipna=False)
    asked = base_asked | baseline_asked
    emptied = list(difference.index[difference.isna() & asked])
    kept = difference.dropna()
    return BaseDifference(None if kept.empty else float(kept.mean()), emptied, kept)
