"""Figures with a row per eval prompt: the paired comparison, and every arm."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.display.drawing import BASELINE, TREATMENT, no_data, one_line

MOST_ROWS = 120  # prompts in one figure; more would pass the largest image that can be drawn


def dumbbell(
    per_prompt: pd.DataFrame, prompts: Mapping[str, str], treatment: str, baseline: str, kind: str
) -> plt.Figure:
    """Both arms' mean alignment for every eval prompt, with the paired difference, sorted by it.

    Of many prompts those with the largest differences are drawn, as many from either end.

    Args:
        per_prompt: prompt_id, subset, treatment_<kind>, baseline_<kind>, difference_<kind>
            (points 0-100).
        prompts: the text of each prompt by its id.
        kind: "filtered" or "unfiltered".
    """
    needed = [f"{side}_{kind}" for side in ("difference", "treatment", "baseline")]
    if not set(needed) <= set(per_prompt) or per_prompt[needed].isna().all(axis=None):
        return no_data(
            f"no prompt has scores of both {one_line(treatment)} and {one_line(baseline)}"
        )
    numbers = per_prompt.astype(dict.fromkeys(needed, float))
    by_difference = numbers.sort_values(needed[0], na_position="first")
    rows = _both_ends(by_difference).reset_index(drop=True)
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(12, 1.6 + 0.27 * len(rows)),
        sharey=True,
        width_ratios=[3, 1],
        layout="constrained",
    )
    y = np.arange(len(rows))
    of_baseline = rows[f"baseline_{kind}"]
    of_treatment = rows[f"treatment_{kind}"]
    left.hlines(y, of_baseline, of_treatment, color="#cbd5e1", linewidth=2, zorder=1)
    squares = {"color": BASELINE, "marker": "s", "s": 26, "zorder": 2}
    left.scatter(of_baseline, y, label=one_line(baseline), **squares)
    dots = {"color": TREATMENT, "marker": "o", "s": 30, "zorder": 3}
    left.scatter(of_treatment, y, label=one_line(treatment), **dots)
    of_many = _of_many(rows, len(by_difference))
    left.set(
        yticks=y,
        yticklabels=_labels(rows, prompts),
        xlim=(-2, 102),
        ylim=(-1, len(rows)),
        xlabel=f"mean alignment of a prompt's completions, points ({kind}){of_many}",
    )
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False)
    difference = rows[f"difference_{kind}"]
    right.barh(y, difference, color=np.where(difference >= 0, TREATMENT, BASELINE), height=0.65)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="paired difference, points")
    for axis in (left, right):
        axis.tick_params(axis="y", labelsize=7.5)
        axis.grid(axis="y", visible=False)
    return figure


def _labels(rows: pd.DataFrame, prompts: Mapping[str, str]) -> list[str]:
    """Each prompt's text and the published sets that hold it."""
    labels = []
    for prompt, subset in zip(rows["prompt_id"], rows["subset"], strict=True):
        sets = "" if pd.isna(subset) else f"  [{one_line(subset)}]"
        labels.append(one_line(prompts.get(prompt, prompt), 64) + sets)
    return labels


def heatmap(means: pd.DataFrame, prompts: Mapping[str, str]) -> plt.Figure:
    """Mean alignment by prompt (rows) and condition (columns), points 0-100.

    Args:
        means: index prompt_id, one column per condition.
        prompts: the text of each prompt by its id.
    """
    scored = means.astype(float).dropna(how="all")
    drawn = _both_ends(scored)
    if drawn.empty:
        return no_data("no prompt has a scored alignment answer")
    size = (3.6 + 0.95 * drawn.shape[1], 1.6 + 0.23 * len(drawn))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    sns.heatmap(
        drawn.to_numpy(),
        vmin=0,
        vmax=100,
        cmap="cividis",
        yticklabels=[one_line(prompts.get(prompt, prompt), 56) for prompt in drawn.index],
        xticklabels=[one_line(arm) for arm in drawn.columns],
        ax=axis,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 6.5},
        cbar_kws={"label": "mean alignment, points", "shrink": 0.5},
    )
    axis.set(xlabel=_of_many(drawn, len(scored)).lstrip("; "), ylabel="")
    axis.tick_params(axis="x", rotation=35)
    axis.tick_params(axis="y", labelsize=7)
    plt.setp(axis.get_xticklabels(), ha="right")
    return figure


def _both_ends(rows: pd.DataFrame) -> pd.DataFrame:
    """All rows, or of too many as many from either end."""
    half = MOST_ROWS // 2
    return rows if len(rows) <= MOST_ROWS else pd.concat([rows.head(half), rows.tail(half)])


def _of_many(rows: pd.DataFrame, everything: int) -> str:
    """How many rows of how many are drawn, in words; nothing if all are."""
    if len(rows) == everything:
        return ""
    return f"; {len(rows)} of {everything} prompts, from both ends"
