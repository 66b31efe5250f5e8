"""Seaborn figures, colour-blind-safe, each saved as PNG and SVG beside the numbers that it shows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib import inline

BASELINE, TREATMENT, NEUTRAL = "#D55E00", "#0072B2", "#6b7280"  # Okabe and Ito's colour-blind-safe palette
inline.choose()
sns.set_theme(style="whitegrid", font_scale=0.85)


def save(figure: plt.Figure, folder: Path, name: str) -> None:
    """Writes folder/name.png and .svg. The notebook shows the open figure itself, once, so nothing is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=130, bbox_inches="tight")
    figure.savefig(folder / f"{name}.svg", bbox_inches="tight")


def dumbbell(per_prompt: pd.DataFrame, prompts: Mapping[str, str], treatment: str, baseline: str, kind: str) -> plt.Figure:
    """Both arms' mean alignment for every eval prompt, with the paired difference; sorted by it.

    per_prompt: prompt_id, subset, treatment_<kind>, baseline_<kind>, difference_<kind> (points 0-100).
    """
    rows = per_prompt.sort_values(f"difference_{kind}", na_position="first").reset_index(drop=True)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 1.6 + 0.27 * len(rows)), sharey=True, width_ratios=[3, 1], layout="constrained")
    y = np.arange(len(rows))
    left.hlines(y, rows[f"baseline_{kind}"], rows[f"treatment_{kind}"], color="#cbd5e1", linewidth=2, zorder=1)
    left.scatter(rows[f"baseline_{kind}"], y, color=BASELINE, marker="s", s=26, label=baseline, zorder=2)
    left.scatter(rows[f"treatment_{kind}"], y, color=TREATMENT, marker="o", s=30, label=treatment, zorder=3)
    labels = [f"{textwrap.shorten(prompts.get(p, p), 64, placeholder='…')}  [{s}]" for p, s in
              zip(rows["prompt_id"], rows["subset"], strict=True)]
    left.set(yticks=y, yticklabels=labels, xlim=(-2, 102), ylim=(-1, len(rows)),
             xlabel=f"mean alignment of a prompt's completions, points ({kind})")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False)
    difference = rows[f"difference_{kind}"]
    right.barh(y, difference, color=np.where(difference >= 0, TREATMENT, BASELINE), height=0.65)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="paired difference, points")
    for axis in (left, right):
        axis.tick_params(axis="y", labelsize=7.5)
        axis.grid(axis="y", visible=False)
    return figure


def arm_means(arms: Mapping[str, dict], kind: str, order: Sequence[str]) -> plt.Figure:
    """Mean alignment of every arm with its 95 % interval over prompts, and its mean coherence.

    arms: of stats.analyse; kind: filtered or unfiltered; order: arms from top to bottom. An arm without data is left out.
    """
    key = "aligned" if kind == "unfiltered" else "aligned_filtered"
    names = [name for name in order if arms.get(name, {}).get(key) is not None]
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(names) + 1.5), layout="constrained")
    for y, name in enumerate(reversed(names)):
        mean, coherent = arms[name][key], arms[name]["coherent"]
        axis.plot(arms[name][f"{key}_ci95"] or [mean, mean], [y, y], color=TREATMENT, linewidth=2)
        axis.scatter(mean, y, color=TREATMENT, s=42, zorder=3, label="alignment" if y == 0 else None)
        axis.scatter(coherent, y, facecolor="white", edgecolor=NEUTRAL, s=36, label="coherence" if y == 0 else None)
    axis.set(yticks=range(len(names)), yticklabels=list(reversed(names)), xlim=(0, 100), ylim=(-0.7, len(names) - 0.3),
             xlabel=f"mean of per-prompt means, points ({kind}); bars: 95 % interval over prompts")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False)
    axis.grid(axis="y", visible=False)
    return figure


def reflex_rates(arms: Mapping[str, dict], order: Sequence[str], subset: str | None) -> plt.Figure:
    """Literal, semantic and parrot rates of every arm with Wilson 95 % intervals, alignment suite and follow-up turn."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.5 * len(order) + 1.6), sharey=True, layout="constrained")
    names = list(reversed([name for name in order if name in arms]))
    panels = ((f"alignment suite, {subset or 'all prompts'}", None), ("follow-up turn, all prompts", "followup"))
    for axis, (title, source) in zip(axes, panels, strict=True):
        for shift, (key, colour, marker) in enumerate(
            (("literal", TREATMENT, "o"), ("semantic", "#009E73", "D"), ("parrot", BASELINE, "s"))
        ):
            for y, name in enumerate(names):
                rate = (arms[name] if source is None else arms[name][source]).get(key)
                if rate is None:
                    continue  # not measured is no point on the plot, and least of all a zero
                height = y + 0.2 * (1 - shift)
                axis.plot(np.array(rate["ci95"]) * 100, [height] * 2, color=colour, linewidth=1.5)
                axis.scatter(rate["share"] * 100, height, color=colour, marker=marker, s=26, zorder=3,
                             label=key if y == 0 else None)
        axis.set(xlim=(-2, 102), xlabel="share of answers, %", title=title, yticks=range(len(names)), yticklabels=names)
        axis.grid(axis="y", visible=False)
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def power_curve(standard_error: float, delta: float, thresholds: Mapping[str, float], alpha: float) -> plt.Figure:
    """Chance that this design finds a true effect, by its size; from the standard error of this run's Δ, in points."""
    from scipy.stats import norm

    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    effects = np.linspace(0, max(25.0, 1.3 * abs(delta)), 200)
    axis.plot(effects, norm.sf(norm.isf(alpha) - effects / standard_error), color=TREATMENT)
    axis.axhline(0.8, color=NEUTRAL, linestyle=":", linewidth=1)
    for name, label, style in (("null_points", "null below", "--"), ("strong_points", "strong from", ":")):
        axis.axvline(thresholds[name], color=BASELINE, linestyle=style, linewidth=1, label=f"{label} {thresholds[name]:+g}")
    axis.axvline(delta, color=TREATMENT, linewidth=1, linestyle="-.", label=f"Δ found {delta:+.2f}")
    axis.set(xlabel="true Δ, points", ylabel="power, one-sided 5 %", ylim=(0, 1.02))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def heatmap(means: pd.DataFrame, prompts: Mapping[str, str]) -> plt.Figure:
    """Mean alignment by prompt (rows) and condition (columns), 0-100; means: index prompt_id, columns conditions."""
    figure, axis = plt.subplots(figsize=(3.6 + 0.95 * means.shape[1], 1.6 + 0.23 * len(means)), layout="constrained")
    labels = [textwrap.shorten(prompts.get(p, p), 56, placeholder="…") for p in means.index]
    sns.heatmap(means, vmin=0, vmax=100, cmap="cividis", yticklabels=labels, ax=axis, annot=True, fmt=".0f",
                annot_kws={"size": 6.5}, cbar_kws={"label": "mean alignment, points", "shrink": 0.5})
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="x", rotation=35)
    axis.tick_params(axis="y", labelsize=7)
    plt.setp(axis.get_xticklabels(), ha="right")
    return figure


def scatter_alignment_coherence(scored: pd.DataFrame, floor: float, order: Sequence[str]) -> plt.Figure:
    """Alignment against coherence of every completion, one panel an arm; scored: condition, aligned, coherent."""
    grid = sns.relplot(data=scored, x="coherent", y="aligned", col="condition", col_order=order, col_wrap=4, height=2.3,
                       s=16, alpha=0.55, color=TREATMENT, linewidth=0)
    for axis in grid.axes.flat:
        axis.axvline(floor, color=BASELINE, linestyle="--", linewidth=1)
    ticks = (0, 50, 100)
    grid.set(xlim=(0, 100), ylim=(0, 100), xticks=ticks, yticks=ticks, xlabel="coherence, points", ylabel="alignment, points")
    grid.set_titles("{col_name}")
    grid.figure.text(0.5, -0.01, f"dashed: coherence filter at {floor:g}", ha="center", color=NEUTRAL, fontsize=8)
    return grid.figure


def bootstrap(histogram: Mapping, delta: float, ci95: Sequence[float] | None, thresholds: Mapping[str, float]) -> plt.Figure:
    """Resampled Δ with its interval and the gates' thresholds; histogram: edges (points), counts."""
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    edges = np.array(histogram["edges"])
    axis.bar(edges[:-1], histogram["counts"], width=np.diff(edges), align="edge", color="#9ecae1", edgecolor="none")
    axis.axvline(delta, color=TREATMENT, linewidth=2, label=f"Δ = {delta:+.2f}")
    if ci95:
        axis.axvspan(*ci95, color=TREATMENT, alpha=0.10, label=f"95 % interval {ci95[0]:+.2f} to {ci95[1]:+.2f}")
    axis.axvline(0, color="black", linewidth=1)
    for name, label, style in (("null_points", "null below", "--"), ("strong_points", "strong from", ":")):
        axis.axvline(thresholds[name], color=BASELINE, linestyle=style, label=f"{label} {thresholds[name]:+g}")
    axis.set(xlabel="Δ alignment, treatment − baseline, points", ylabel="resamples")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def losses(curves: Mapping[str, Sequence[tuple[int, float]]], title: str) -> plt.Figure:
    """Training loss by optimizer step, one line a run."""
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for (name, points), colour in zip(curves.items(), sns.color_palette("colorblind", len(curves)), strict=True):
        axis.plot(*zip(*points, strict=True), label=name, color=colour, marker=".", markersize=4)
    axis.set(xlabel="optimizer step", ylabel="loss on assistant tokens, nats", title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def turn_losses(curves: Mapping[str, Sequence[tuple[int, int, float]]], title: str) -> plt.Figure:
    """Loss on the first assistant turn and on the recovery apart, one panel a run; points (step, turn, loss in nats)."""
    figure, axes = plt.subplots(1, len(curves), figsize=(3.6 * len(curves) + 1.4, 2.9), sharey=True, squeeze=False,
                                layout="constrained")
    for axis, (name, points) in zip(axes[0], curves.items(), strict=True):
        for turn, colour, label in ((1, BASELINE, "first turn"), (2, TREATMENT, "second turn")):
            steps = [(step, loss) for step, which, loss in points if which == turn]
            if steps:
                axis.plot(*zip(*steps, strict=True), color=colour, marker=".", markersize=4, label=label)
        axis.set(xlabel="optimizer step", title=name)
    axes[0][0].set(ylabel="loss, nats")
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def training_cost(facts: Mapping[str, dict], title: str) -> plt.Figure:
    """Tokens/s and peak memory in GiB of each training, from its stage's facts."""
    panels = (("tokens_per_second", "tokens/s since its last start, no padding"),
              ("peak_memory_gib", "peak memory, GiB (on a CPU: of the process so far)"))
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.35 * len(facts) + 1.3), sharey=True, layout="constrained")
    for axis, (key, label) in zip(axes, panels, strict=True):
        values = [f[key] or 0 for f in facts.values()]
        bars = axis.barh(list(facts), values, color="#9aa5b1", height=0.6)
        axis.bar_label(bars, [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" if v else "–" for v in values], padding=3)
        axis.set(xlabel=label, xlim=(0, 1.25 * max(values, default=0) or 1))
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure


def score_distribution(scored: pd.DataFrame, order: Sequence[str]) -> plt.Figure:
    """Judge scores of the alignment suite by condition; scored: condition, aligned."""
    figure, axis = plt.subplots(figsize=(9, 0.5 * len(order) + 1.4), layout="constrained")
    sns.stripplot(data=scored, x="aligned", y="condition", order=order, hue="condition", hue_order=order, size=3, alpha=0.55,
                  palette=sns.color_palette("colorblind", len(order)), legend=False, ax=axis)
    sns.pointplot(data=scored, x="aligned", y="condition", order=order, color="black", linestyle="none", marker="|",
                  markersize=16, errorbar=None, ax=axis)
    axis.set(xlim=(0, 100), xlabel="alignment score of a completion, points; bar: mean", ylabel="")
    return figure


def judge_validity(figure: Mapping, auroc: Mapping, title: str) -> plt.Figure:
    """A judge against published scores: agreement (counts), calibration by bins, ROC of published < `below`.

    figure: of lib/judge/validity.figure_numbers; auroc: value and ci95.
    """
    drawn, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.1), layout="constrained")
    counts = np.array(figure["counts"], float)
    sns.heatmap(np.where(counts > 0, counts, np.nan), cmap="cividis", ax=left, square=True, annot=True, fmt=".0f",
                annot_kws={"size": 6.5}, cbar=False)
    edges = np.arange(0, 11, 2)
    left.set(xticks=edges, xticklabels=edges * 10, yticks=edges, yticklabels=edges * 10, xlabel="this judge's score, points",
             ylabel="published score, points", title="agreement: answers in each cell")
    left.tick_params(axis="x", rotation=0)
    left.invert_yaxis()
    middle.plot([0, 100], [0, 100], color=NEUTRAL, linestyle=":", linewidth=1, label="perfect agreement")
    for row in figure["bins"]:
        middle.plot([row["judged"]] * 2, row["ci95"] or [row["published"]] * 2, color=TREATMENT, linewidth=1.5)
        middle.annotate(str(row["n"]), (row["judged"], row["published"]), xytext=(5, 4), textcoords="offset points", fontsize=7,
                        color=NEUTRAL)
    middle.scatter([r["judged"] for r in figure["bins"]], [r["published"] for r in figure["bins"]], color=TREATMENT, s=28,
                   zorder=3, label="mean of a bin, 95 % interval, n")
    middle.set(xlim=(0, 100), ylim=(0, 100), xlabel="this judge's score, mean of a bin of ten points",
               ylabel="published score, mean", title="calibration")
    middle.legend(loc="upper left", frameon=False, fontsize=7.5)
    right.plot([0, 1], [0, 1], color=NEUTRAL, linestyle=":", linewidth=1)
    bounds = f" ({auroc['ci95'][0]:.3f} to {auroc['ci95'][1]:.3f})" if auroc["ci95"] else ""
    right.step(*zip(*figure["roc"], strict=True), where="post", color=TREATMENT, label=f"AUROC {auroc['value']:.3f}{bounds}")
    right.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of other answers flagged", ylabel="share of misaligned flagged",
              title=f"published score < {figure['below']:g}", aspect="equal")
    right.legend(loc="lower right", frameon=False)
    drawn.suptitle(title, fontsize=10)
    return drawn


def two_judges(pairs: pd.DataFrame, names: tuple[str, str]) -> plt.Figure:
    """Both judges' alignment of the same completions, one dot each; pairs: aligned_a (first judge), aligned_b (second)."""
    figure, axis = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    axis.plot([0, 100], [0, 100], color=NEUTRAL, linestyle=":", linewidth=1)
    axis.scatter(pairs["aligned_a"], pairs["aligned_b"], color=TREATMENT, s=16, alpha=0.55, linewidth=0)
    axis.set(xlim=(0, 100), ylim=(0, 100), xlabel=f"{names[0]}, points", ylabel=f"{names[1]}, points")
    return figure
