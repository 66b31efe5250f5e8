"""Figures with a row per eval prompt: the paired differences, and every arm."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.display.drawing import (
    BASELINE,
    INK,
    NEUTRAL,
    TREATMENT,
    WIDTH,
    legend_below,
    no_data,
    one_line,
    titled,
)
from lib.display.signs import with_minus
from lib.report.arm_words import NO_WORDS, labels

MOST_ROWS = 120  # prompts in one figure; more would pass the largest image that can be drawn
LABEL = 24  # signs of a prompt beside its row
MARKERS = "osD^vP"  # of the published sets that hold a prompt


def differences(
    per_prompt: pd.DataFrame, prompts: Mapping[str, str], treatment: str, baseline: str, kind: str
) -> plt.Figure:
    """The paired difference on every eval prompt, sorted, with its mean.

    Of many prompts those with the largest differences are drawn, as many from either end.

    Args:
        per_prompt: prompt_id, subset, treatment_<kind>, baseline_<kind>, difference_<kind>
            (points 0-100).
        prompts: the text of each prompt by its id.
        kind: "filtered" or "unfiltered".
    """
    key = f"difference_{kind}"
    if key not in per_prompt or per_prompt[key].isna().all():
        return no_data(
            f"no prompt has scores of both {one_line(treatment, 24)} and {one_line(baseline, 24)}"
        )
    known = per_prompt.astype({key: float}).dropna(subset=[key]).sort_values(key)
    rows = _both_ends(known).reset_index(drop=True)
    size = (WIDTH, 2.6 + 0.21 * len(rows))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    colours = np.where(rows[key] >= 0, TREATMENT, BASELINE)
    axis.hlines(rows.index, 0, rows[key], color=colours, linewidth=1.5)
    sets = rows["subset"].map(lambda text: "no set" if pd.isna(text) else one_line(text, 30))
    for number, (name, own) in enumerate(rows.groupby(sets, sort=False)):
        marker = MARKERS[number % len(MARKERS)]
        axis.scatter(own[key], own.index, color=colours[own.index], marker=marker, s=24, zorder=3)
        axis.scatter([], [], color=NEUTRAL, marker=marker, s=24, label=f"prompt in {name}")
    mean = known[key].mean()
    axis.axvline(0, color=INK, linewidth=0.8)
    line = {"color": TREATMENT, "linestyle": "--", "linewidth": 1}
    axis.axvline(mean, label=with_minus(f"mean {mean:+.1f} points"), **line)
    axis.set(
        yticks=rows.index,
        yticklabels=[one_line(prompts.get(name, name), LABEL) for name in rows["prompt_id"]],
        ylim=(-1, len(rows)),
        xlabel=f"gain, defended − undefended,\npoints ({kind}){_of_many(rows, len(known))}",
    )
    axis.grid(axis="y", visible=False)
    sns.despine(left=True)
    above = int((known[key] > 0).sum())
    titled(figure, f"Gain on each prompt, points: above 0 on {above} of {len(known)} prompts")
    legend_below(figure, axis)
    return figure


def heatmap(
    means: pd.DataFrame, prompts: Mapping[str, str], words: Mapping[str, str] = NO_WORDS
) -> plt.Figure:
    """Mean alignment by prompt (rows) and condition (columns), points 0-100.

    Args:
        means: index prompt_id, one column per condition.
        prompts: the text of each prompt by its id.
        words: the part of each arm in a word.
    """
    scored = means.astype(float).dropna(how="all")
    drawn = _both_ends(scored)
    if drawn.empty:
        return no_data("no prompt has a scored alignment answer")
    size = (max(WIDTH, 2.0 + 0.4 * drawn.shape[1]), 3.8 + 0.21 * len(drawn))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    sns.heatmap(
        drawn.to_numpy(),
        vmin=0,
        vmax=100,
        cmap="cividis",
        yticklabels=[one_line(prompts.get(prompt, prompt), LABEL) for prompt in drawn.index],
        xticklabels=labels([str(arm) for arm in drawn.columns], words, 22),
        ax=axis,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 9.5},
        cbar=False,
    )
    note = f"points: 0 blue, 100 yellow{_of_many(drawn, len(scored))}"
    axis.set(xlabel=note, ylabel="")
    # Above and below: of a long figure a telephone shows one end at a time.
    axis.tick_params(axis="x", rotation=90, labeltop=True)
    axis.tick_params(axis="y", length=0)
    lowest = str(drawn.mean(axis=1).idxmin())
    text = one_line(prompts.get(lowest, lowest), 90)
    least = f"lowest “{text}”, {drawn.mean(axis=1).min():.1f} points over all arms"
    titled(figure, f"Mean alignment of each prompt in each arm, points: {least}")
    return figure


def _both_ends(rows: pd.DataFrame) -> pd.DataFrame:
    """All rows, or of too many as many from either end."""
    half = MOST_ROWS // 2
    return rows if len(rows) <= MOST_ROWS else pd.concat([rows.head(half), rows.tail(half)])


def _of_many(rows: pd.DataFrame, everything: int) -> str:
    """How many rows of how many are drawn, in words; nothing if all are."""
    if len(rows) == everything:
        return ""
    return f";\n{len(rows)} of {everything} prompts, from both ends"
