"""Two arms side by side: pairing by seed and prompt, and what follows (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd

from lib.bootstrap import paired_bootstrap
from lib.tables import DECIMALS, originals, prompt_means, prompt_rows, stripped

# A described effect has no p-value and no detectable effect: only the headline comparison is tested.
DESCRIBED = ("delta", "ci95", "ci90", "interval_over", "n_prompts", "n_seeds")
NO_ANSWER = {
    "filtered": "no scored answer that is coherent and not code",
    "unfiltered": "no scored answer with `aligned`",
}


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

    alignment: canonical originals of the suite; floor: coherence that the filter asks for;
    unscored_max: an arm of whose scored answers more than this share has no `aligned` has no
    unfiltered number, and so no unfiltered coherence either.
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
    """Two arms on their shared seeds; a prompt without a mean in either, at any of them, leaves both.

    means, present: `prompt_means` and `prompt_rows` of one suite; only: the prompts to look at
    (None = all). Prompts that neither arm was asked do not count. None without a shared seed.
    """
    arms = means.index.get_level_values("condition")
    if left not in arms or right not in arms:
        return None
    first, second = means.loc[left], means.loc[right]
    seeds = first.index.intersection(second.index)
    asked = (present.loc[[left, right]] > 0).any()
    prompts = [prompt for prompt in asked.index[asked] if only is None or prompt in only]
    if seeds.empty or not prompts:
        return None
    first, second = first.loc[seeds, prompts], second.loc[seeds, prompts]
    whole = (first.notna() & second.notna()).all()
    return Pair(first.loc[:, whole], second.loc[:, whole], list(whole.index[~whole]))


def effect(pair: Pair | None, bootstrap: dict) -> dict | None:
    """`paired_bootstrap` of a pair, with every seed's delta; None without a prompt. bootstrap: its options."""
    if pair is None or pair.left.empty:
        return None
    by_seed = (pair.left - pair.right).mean(axis=1)
    return paired_bootstrap(pair.left.to_numpy(), pair.right.to_numpy(), **bootstrap) | {
        "per_seed": [{"seed": seed, "delta": delta} for seed, delta in by_seed.items()]
    }


def mean_difference(pair: Pair | None) -> float | None:
    """Mean of left - right, without an interval."""
    if pair is None or pair.left.empty:
        return None
    return float((pair.left - pair.right).to_numpy().mean())


class BaseDifference(NamedTuple):
    """mean(base) - mean(baseline) in points (None: no number), and the prompts that left both."""

    value: float | None
    emptied: list[str]


def base_difference(means: pd.DataFrame, present: pd.DataFrame, base: str, baseline: str) -> BaseDifference:
    """Gate 1's number: each arm's mean over all its own seeds, since the base is no seed's child.

    A prompt without a mean in either leaves both. There is no number where an arm is missing, or
    base was not asked what baseline was.
    """
    arms = means.index.get_level_values("condition")
    if base not in arms or baseline not in arms:
        return BaseDifference(None, [])
    base_asked, baseline_asked = ((present.loc[arm] > 0).any() for arm in (base, baseline))
    if (baseline_asked & ~base_asked).any():
        return BaseDifference(None, [])
    difference = means.loc[base].mean(skipna=False) - means.loc[baseline].mean(skipna=False)
    asked = base_asked | baseline_asked
    emptied = list(difference.index[difference.isna() & asked])
    kept = difference.dropna()
    return BaseDifference(None if kept.empty else float(kept.mean()), emptied)


def described(full: dict | None) -> dict | None:
    """An effect without its test."""
    return None if full is None else {key: full[key] for key in DESCRIBED}


def left_out(
    emptied: Collection[str],
    seeds: Collection[int] | None,
    means: pd.DataFrame,
    present: pd.DataFrame,
    kind: str,
    names: tuple[str, str],
) -> list[dict]:
    """The prompts that left a comparison: which arm and seed has no answer of them, and why.

    seeds: those of the comparison (None = each arm's own); names: the two arms.
    """
    rows = []
    for prompt in emptied:
        reasons = []
        for arm in names:
            for seed, mean in means.loc[arm][prompt].items():
                if pd.notna(mean) or not (seeds is None or seed in seeds):
                    continue
                asked = present.loc[(arm, seed), prompt] > 0
                reasons.append((f"{arm} seed {seed}", NO_ANSWER[kind] if asked else "not asked"))
        rows.append({
            "prompt_id": prompt,
            "scores": kind,
            "comparison": f"{names[0]} - {names[1]}",
            "emptied": [place for place, _ in reasons],
            "reasons": [f"{place}: {reason}" for place, reason in reasons],
        })
    return rows


def stripped_effect(
    table: pd.DataFrame,
    kind: str | None,
    treatment: str,
    baseline: str,
    *,
    floor: float,
    unscored_max: float,
    bootstrap: dict,
) -> dict | None:
    """Delta when the treatment's answers are judged without their opening, where such a judgment exists.

    kind: `filtered` or `unfiltered`, as in the headline. Beside the described effect: `n_replaced`
    answers judged again, `scored_share` of these, and `n_lacking` answers that hold the opening but
    have no stripped judgment (None if `literal` is not known). None if nothing was judged again
    although an answer holds the opening, or may hold it.
    """
    alignment = originals(table, "alignment")
    alignment = alignment[alignment["condition"].isin([treatment, baseline])]
    again = stripped(table, "alignment")
    again = again[again["condition"] == treatment]
    key = ["condition", "seed", "prompt_id", "sample_index"]
    replaced = pd.MultiIndex.from_frame(alignment[key]).isin(pd.MultiIndex.from_frame(again[key]))
    lacking = None
    if "literal" in alignment:
        literal = alignment["literal"].where(alignment["condition"] == treatment, 0.0)
        lacking = None if literal.isna().any() else int(((literal == 1) & ~replaced).sum())
    if kind is None or (again.empty and lacking != 0):
        return None
    # A stripped judgment that was not scored replaces the full one too: the full score holds the persuasion.
    judged = pd.concat([alignment[~replaced], again]) if len(again) else alignment
    means = alignment_means(judged, floor, unscored_max)[kind]
    delta = described(effect(pair_arms(means, prompt_rows(judged), treatment, baseline), bootstrap))
    if delta is None:
        return None
    scored = None if again.empty else float((again["outcome"] == "scored").groupby(again["seed"]).mean().min())
    return delta | {"n_replaced": int(replaced.sum()), "n_lacking": lacking, "scored_share": scored}
