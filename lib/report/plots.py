"""Seaborn figures, colour-blind-safe, each saved as PNG and SVG beside the numbers that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.analysis.bootstrap import power
from lib.analysis.findings import Histogram
from lib.display.drawing import BASELINE, NEUTRAL, TREATMENT, no_data, one_line, save  # noqa: F401
from lib.report.arm_plots import arm_means, reflex_rates  # noqa: F401 (all figures have one address)
from lib.report.training_plots import losses, training_cost, turn_losses  # noqa: F401 (all figures have one address)

MOST_ROWS = 120  # prompts in one figure; more would pass the largest image that can be drawn


def dumbbell(
    per_prompt: pd.DataFrame, prompts: Mapping[str, str], treatment: str, baseline: str, kind: str
) -> plt.Figure:
    """Both arms' mean alignment for every eval prompt, with the paired difference; sorted by it.

    per_prompt: prompt_id, subset, treatment_<kind>, baseline_<kind>, difference_<kind> (points 0-100). Of many prompts
    those with the largest differences are drawn, as many from either end.
    """
    needed = [f"{side}_{kind}" for side in ("difference", "treatment", "baseline")]
    if not set(needed) <= set(per_prompt) or per_prompt[needed].isna().all(axis=None):
        return no_data(
            f"no prompt has scores of both {one_line(treatment)} and {one_line(baseline)}"
        )
    rows = per_prompt.astype(dict.fromkeys(needed, float)).sort_values(
        needed[0], na_position="first"
    )
    everything = len(rows)
    rows = _both_ends(rows).reset_index(drop=True)
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(12, 1.6 + 0.27 * len(rows)),
        sharey=True,
        width_ratios=[3, 1],
        layout="constrained",
    )
    y = np.arange(len(rows))
    left.hlines(
        y,
        rows[f"baseline_{kind}"],
        rows[f"treatment_{kind}"],
        color="#cbd5e1",
        linewidth=2,
        zorder=1,
    )
    left.scatter(
        rows[f"baseline_{kind}"],
        y,
        color=BASELINE,
        marker="s",
        s=26,
        label=one_line(baseline),
        zorder=2,
    )
    left.scatter(
        rows[f"treatment_{kind}"],
        y,
        color=TREATMENT,
        marker="o",
        s=30,
        label=one_line(treatment),
        zorder=3,
    )
    subsets = ("" if pd.isna(subset) else f"  [{one_line(subset)}]" for subset in rows["subset"])
    labels = [
        one_line(prompts.get(p, p), 64) + subset
        for p, subset in zip(rows["prompt_id"], subsets, strict=True)
    ]
    left.set(
        yticks=y,
        yticklabels=labels,
        xlim=(-2, 102),
        ylim=(-1, len(rows)),
        xlabel=f"mean alignment of a prompt's completions, points ({kind}){_of_many(rows, everything)}",
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


def _both_ends(rows: pd.DataFrame) -> pd.DataFrame:
    half = MOST_ROWS // 2
    return rows if len(rows) <= MOST_ROWS else pd.concat([rows.head(half), rows.tail(half)])


def _of_many(rows: pd.DataFrame, everything: int) -> str:
    return (
        "" if len(rows) == everything else f"; {len(rows)} of {everything} prompts, from both ends"
    )


def power_curve(standard_error: float, delta: float, thresholds: Mapping[str, float]) -> plt.Figure:
    """Chance of p < alpha, and of a `supported` (delta at +5 or above as well), by the true effect in points.

    Both follow from the standard error of this run's Δ, points.
    """
    if not standard_error > 0:
        return no_data("the standard error of Δ is 0 or unknown")
    alpha, null = thresholds["alpha"], thresholds["null_points"]
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    effects = np.linspace(0, max(25.0, 1.3 * abs(delta)), 200)
    supported = power(effects, standard_error, alpha=alpha, at_least=null)
    axis.plot(
        effects, supported, color=TREATMENT, label=f"supported: Δ at {null:+g} or above, and p"
    )
    axis.plot(
        effects,
        power(effects, standard_error, alpha=alpha),
        color=NEUTRAL,
        label=f"p < {alpha:g} alone",
    )
    axis.axhline(0.8, color=NEUTRAL, linestyle=":", linewidth=1)
    for name, label, style in (
        ("null_points", "null below", "--"),
        ("strong_points", "strong from", ":"),
    ):
        line = {"color": BASELINE, "linestyle": style, "linewidth": 1}
        axis.axvline(thresholds[name], label=f"{label} {thresholds[name]:+g}", **line)
    axis.axvline(delta, color=TREATMENT, linewidth=1, linestyle="-.", label=f"Δ found {delta:+.2f}")
    axis.set(xlabel="true Δ, points", ylabel="chance", ylim=(0, 1.02))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def heatmap(means: pd.DataFrame, prompts: Mapping[str, str]) -> plt.Figure:
    """Mean alignment by prompt (rows) and condition (columns), 0-100; means: index prompt_id, columns conditions."""
    scored = means.astype(float).dropna(how="all")
    means, everything = _both_ends(scored), len(scored)
    if means.empty:
        return no_data("no prompt has a scored alignment answer")
    figure, axis = plt.subplots(
        figsize=(3.6 + 0.95 * means.shape[1], 1.6 + 0.23 * len(means)), layout="constrained"
    )
    rows, arms = (
        [one_line(prompts.get(p, p), 56) for p in means.index],
        [one_line(arm) for arm in means.columns],
    )
    sns.heatmap(
        means.to_numpy(),
        vmin=0,
        vmax=100,
        cmap="cividis",
        yticklabels=rows,
        xticklabels=arms,
        ax=axis,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 6.5},
        cbar_kws={"label": "mean alignment, points", "shrink": 0.5},
    )
    axis.set(xlabel=_of_many(means, everything).lstrip("; "), ylabel="")
    axis.tick_params(axis="x", rotation=35)
    axis.tick_params(axis="y", labelsize=7)
    plt.setp(axis.get_xticklabels(), ha="right")
    return figure


def scatter_alignment_coherence(
    scored: pd.DataFrame, floor: float, order: Sequence[str]
) -> plt.Figure:
    """Alignment against coherence of every completion, one panel an arm; scored: condition, aligned, coherent."""
    scored = scored.dropna(subset=["aligned", "coherent"])
    order = [arm for arm in order if (scored["condition"] == arm).any()]
    if not order:
        return no_data("no answer has both scores")
    scored = scored.assign(
        condition=scored["condition"].map(dict(zip(order, range(len(order)), strict=True)))
    )
    grid = sns.relplot(
        data=scored,
        x="coherent",
        y="aligned",
        col="condition",
        col_order=range(len(order)),
        col_wrap=4,
        height=2.3,
        s=16,
        alpha=0.55,
        color=TREATMENT,
        linewidth=0,
    )
    for axis in grid.axes.flat:
        axis.axvline(floor, color=BASELINE, linestyle="--", linewidth=1)
    ticks = (0, 50, 100)
    grid.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xticks=ticks,
        yticks=ticks,
        xlabel="coherence, points",
        ylabel="alignment, points",
    )
    for axis, arm in zip(grid.axes.flat, order, strict=True):
        axis.set_title(one_line(arm))
    grid.figure.text(
        0.5, -0.01, f"dashed: coherence filter at {floor:g}", ha="center", color=NEUTRAL, fontsize=8
    )
    return grid.figure


def bootstrap(
    histogram: Histogram,
    delta: float,
    ci95: Sequence[float] | None,
    thresholds: Mapping[str, float],
) -> plt.Figure:
    """Resampled Δ with its interval and the gates' thresholds.

    Where all resamples are alike, the bars have no width, and the line of Δ shows where they lie.
    """
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    edges = np.array(histogram.edges)
    bars = {"align": "edge", "color": "#9ecae1", "edgecolor": "none"}
    axis.bar(edges[:-1], histogram.counts, width=np.diff(edges), **bars)
    axis.axvline(delta, color=TREATMENT, linewidth=2, label=f"Δ = {delta:+.2f}")
    if ci95:
        axis.axvspan(
            *ci95,
            color=TREATMENT,
            alpha=0.10,
            label=f"95 % interval {ci95[0]:+.2f} to {ci95[1]:+.2f}",
        )
    axis.axvline(0, color="black", linewidth=1)
    for name, label, style in (
        ("null_points", "null below", "--"),
        ("strong_points", "strong from", ":"),
    ):
        axis.axvline(
            thresholds[name],
            color=BASELINE,
            linestyle=style,
            label=f"{label} {thresholds[name]:+g}",
        )
    axis.set(xlabel="Δ alignment, treatment − baseline, points", ylabel="resamples")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def score_distribution(scored: pd.DataFrame, order: Sequence[str]) -> plt.Figure:
    """Judge scores of the alignment suite by condition; scored: condition, aligned."""
    if scored["aligned"].isna().all():
        return no_data("no answer has a score")
    figure, axis = plt.subplots(figsize=(9, 0.5 * len(order) + 1.4), layout="constrained")
    sns.stripplot(
        data=scored,
        x="aligned",
        y="condition",
        order=order,
        hue="condition",
        hue_order=order,
        size=3,
        alpha=0.55,
        palette=sns.color_palette("colorblind", len(order)),
        legend=False,
        ax=axis,
    )
    sns.pointplot(
        data=scored,
        x="aligned",
        y="condition",
        order=order,
        color="black",
        linestyle="none",
        marker="|",
        markersize=16,
        errorbar=None,
        ax=axis,
    )
    axis.set(xlim=(0, 100), xlabel="alignment score of a completion, points; bar: mean", ylabel="")
    return figure


def judge_validity(figure: Mapping, auroc: Mapping, title: str) -> plt.Figure:
    """A judge against published scores: agreement (counts), calibration by bins, ROC of published < `below`.

    figure: of lib/judge/validity.figure_numbers; auroc: value and ci95.
    """
    drawn, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.1), layout="constrained")
    counts = np.array(figure["counts"], float)
    sns.heatmap(
        np.where(counts > 0, counts, np.nan),
        cmap="cividis",
        ax=left,
        square=True,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 6.5},
        cbar=False,
    )
    edges = np.arange(0, 11, 2)
    left.set(
        xticks=edges,
        xticklabels=edges * 10,
        yticks=edges,
        yticklabels=edges * 10,
        xlabel="this judge's score, points",
        ylabel="published score, points",
        title="agreement: answers in each cell",
    )
    left.tick_params(axis="x", rotation=0)
    left.invert_yaxis()
    middle.plot(
        [0, 100], [0, 100], color=NEUTRAL, linestyle=":", linewidth=1, label="perfect agreement"
    )
    for row in figure["bins"]:
        middle.plot(
            [row["judged"]] * 2,
            row["ci95"] or [row["published"]] * 2,
            color=TREATMENT,
            linewidth=1.5,
        )
        middle.annotate(
            str(row["n"]),
            (row["judged"], row["published"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
            color=NEUTRAL,
        )
    middle.scatter(
        [r["judged"] for r in figure["bins"]],
        [r["published"] for r in figure["bins"]],
        color=TREATMENT,
        s=28,
        zorder=3,
        label="mean of a bin, 95 % interval, n",
    )
    middle.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="this judge's score, mean of a bin of ten points",
        ylabel="published score, mean",
        title="calibration",
    )
    middle.legend(loc="upper left", frameon=False, fontsize=7.5)
    right.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=1)
    bounds = f" ({auroc['ci95'][0]:.3f} to {auroc['ci95'][1]:.3f})" if auroc["ci95"] else ""
    right.step(
        *zip(*figure["roc"], strict=True),
        where="post",
        color=TREATMENT,
        label=f"AUROC {auroc['value']:.3f}{bounds}",
    )
    right.set(
        xlim=(0, 1),
        ylim=(0, 1.01),
        xlabel="share of other answers flagged",
        ylabel="share of misaligned flagged",
        title=f"published score < {figure['below']:g}",
        aspect="equal",
    )
    right.legend(loc="lower right", frameon=False)
    drawn.suptitle(title, fontsize=10)
    return drawn


def two_judges(pairs: pd.DataFrame, names: tuple[str, str]) -> plt.Figure:
    """Both judges' alignment of the same completions, one dot each; pairs: aligned_a (first judge), aligned_b (second)."""
    figure, axis = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    axis.plot([0, 100], [0, 100], color=NEUTRAL, linestyle=":", linewidth=1)
    axis.scatter(
        pairs["aligned_a"], pairs["aligned_b"], color=TREATMENT, s=16, alpha=0.55, linewidth=0
    )
    axis.set(
        xlim=(0, 100), ylim=(0, 100), xlabel=f"{names[0]}, points", ylabel=f"{names[1]}, points"
    )
    return figure
