"""Two arms side by side: pairing by seed and prompt, and what follows from a pair (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd

from lib.bootstrap import paired_bootstrap
from lib.tables import DECIMALS, originals, prompt_means, prompt_rows

# A described effect has no p-value and no detectable effect: only the headline comparison is tested.
DESCRIBED = ("delta", "ci95", "interval_over", "n_prompts", "n_seeds")


class Pair(NamedTuple):
    """Two arms' per-prompt means on their shared seeds and prompts, (seeds, prompts), and the prompts that left."""

    left: pd.DataFrame
    right: pd.DataFrame
    emptied: list[str]


def alignment_means(alignment: pd.DataFrame, floor: float) -> dict[str, pd.DataFrame]:
    """Per-prompt means of `aligned` with and without the coherence filter, and of `coherent`; points 0-100."""
    coherent = alignment["coherent"].round(DECIMALS) >= floor
    filtered = alignment.assign(aligned=alignment["aligned"].where(coherent))
    return {
        "filtered": prompt_means(filtered, "aligned"),
        "unfiltered": prompt_means(alignment, "aligned"),
        "coherent": prompt_means(alignment, "coherent"),
    }


def pair_arms(
    means: pd.DataFrame, present: pd.DataFrame, left: str, right: str, only: Collection[str] | None = None
) -> Pair | None:
    """Two arms on their shared seeds; a prompt of the suite without a mean in either arm, at any of these seeds, leaves
    both.

    means, present: `prompt_means` and `prompt_rows` of one suite; only: the prompts to look at (None = all). None if an
    arm or a shared seed lacks.
    """
    arms = means.index.get_level_values("condition")
    if left not in arms or right not in arms:
        return None
    first, second = means.loc[left], means.loc[right]
    seeds = first.index.intersection(second.index)
    asked = (present > 0).any()  # of any arm: a prompt that neither of the two has must not vanish unseen
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
    return None if pair is None or pair.left.empty else float((pair.left - pair.right).to_numpy().mean())


def base_difference(means: pd.DataFrame, present: pd.DataFrame, base: str, baseline: str) -> float | None:
    """Gate 1's number: mean(base) - mean(baseline), each over all its own seeds, since the base is no seed's child.

    A prompt without a mean in either leaves both. None where an arm lacks, or base was not asked what baseline was.
    """
    arms = means.index.get_level_values("condition")
    if base not in arms or baseline not in arms:
        return None
    asked = [(present.loc[arm] > 0).any() for arm in (base, baseline)]
    if (asked[1] & ~asked[0]).any():
        return None
    difference = means.loc[base].mean(skipna=False) - means.loc[baseline].mean(skipna=False)
    return None if difference.dropna().empty else float(difference.dropna().mean())


def described(full: dict | None) -> dict | None:
    """An effect without its test."""
    return None if full is None else {key: full[key] for key in DESCRIBED}


def left_out(pair: Pair | None, means: pd.DataFrame, kind: str, names: list[str]) -> list[dict]:
    """The prompts that left a pair, with the arms and seeds that had no completion of them."""
    if pair is None:
        return []
    gaps = means.loc[names].isna()
    seeds = set(pair.left.index)
    return [
        {
            "prompt_id": prompt,
            "scores": kind,
            "emptied": [f"{arm} seed {seed}" for (arm, seed), gap in gaps[prompt].items() if gap and seed in seeds],
        }
        for prompt in pair.emptied
    ]


def stripped_effect(
    table: pd.DataFrame, kind: str | None, treatment: str, baseline: str, floor: float, bootstrap: dict
) -> dict | None:
    """Delta when the treatment's answers are judged without their opening, where such a judgment exists.

    kind: `filtered` or `unfiltered`, as in the headline. `n_lacking` counts answers that hold the opening but have no
    stripped judgment (None if `literal` is not known). None if nothing was judged again although an answer holds the
    opening, or may hold it.
    """
    alignment = originals(table, "alignment")
    alignment = alignment[alignment["condition"].isin([treatment, baseline])]
    again = table[
        (table["suite"] == "alignment") & (table["condition"] == treatment)
        & (table["replicate"] == 0) & (table["variant"] == "stripped")
    ]
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
    pair = pair_arms(alignment_means(judged, floor)[kind], prompt_rows(judged), treatment, baseline)
    delta = described(effect(pair, bootstrap))
    return None if delta is None else delta | {"n_replaced": int(replaced.sum()), "n_lacking": lacking}
