"""Figures of a judge's scores: their spread by arm, and against published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.display.drawing import (
    BASELINE,
    INK,
    NEUTRAL,
    SIZE,
    TREATMENT,
    WIDTH,
    no_data,
    one_line,
    titled,
)
from lib.report.arm_words import NO_WORDS, labels, word_or_name

DIAGONAL = {"color": NEUTRAL, "linestyle": ":", "linewidth": 1}


def scatter_alignment_coherence(
    scored: pd.DataFrame,
    floor: float,
    order: Sequence[str],
    words: Mapping[str, str] = NO_WORDS,
) -> plt.Figure:
    """Alignment against coherence of every completion, one panel per arm.

    Args:
        scored: condition, aligned, coherent.
        floor: the coherence that the filter asks for, points.
        order: arms in the order of the panels.
        words: the part of each arm in a word.
    """
    scored = scored.dropna(subset=["aligned", "coherent"])
    arms = [arm for arm in order if (scored["condition"] == arm).any()]
    if not arms:
        return no_data("no answer has both scores")
    panel = {arm: number for number, arm in enumerate(arms)}
    columns = min(len(arms), 2)
    grid = sns.relplot(
        data=scored.assign(condition=scored["condition"].map(panel)),
        x="coherent",
        y="aligned",
        col="condition",
        col_order=range(len(arms)),
        col_wrap=columns,
        height=WIDTH / columns,
        s=14,
        alpha=0.5,
        color=TREATMENT,
        linewidth=0,
        rasterized=True,  # thousands of dots: as a picture inside the drawing
    )
    for axis, label in zip(grid.axes.flat, labels(arms, words), strict=True):
        axis.axvline(floor, color=BASELINE, linestyle="--", linewidth=1)
        axis.set_title(label, fontsize=SIZE)
    grid.set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 50, 100))
    grid.set_axis_labels("", "")
    grid.figure.supxlabel(
        f"coherence, points; dashed: the filter at {floor:g}", fontsize=SIZE, color=INK
    )
    grid.figure.supylabel("alignment, points", fontsize=SIZE, color=INK)
    grid.figure.set_layout_engine("constrained", wspace=0.08)  # 100 and the next panel's 0
    dropped = (scored["coherent"] < floor).mean()
    below = f"{100 * dropped:.1f} % of all answers below the coherence filter"
    titled(grid.figure, f"Alignment and coherence of each answer, points: {below}")
    return grid.figure


def score_distribution(
    scored: pd.DataFrame, order: Sequence[str], words: Mapping[str, str] = NO_WORDS
) -> plt.Figure:
    """Judge scores of the alignment suite by condition.

    Args:
        scored: condition, aligned.
        words: the part of each arm in a word.
    """
    if scored["aligned"].isna().all():
        return no_data("no answer has a score")
    size = (WIDTH, 0.4 * len(order) + 1.5)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    places = {"data": scored, "x": "aligned", "y": "condition", "order": order, "ax": axis}
    sns.stripplot(
        **places,
        hue="condition",
        hue_order=order,
        size=3,
        alpha=0.55,
        palette=sns.color_palette("colorblind", len(order)),
        legend=False,
    )
    sns.pointplot(
        **places,
        color=INK,
        linestyle="none",
        marker="|",
        markersize=16,
        errorbar=None,
    )
    axis.set(xlim=(0, 100), yticks=range(len(order)), yticklabels=labels(order, words))
    axis.set(xlabel="alignment of an answer, points; bar: mean", ylabel="")
    means = scored.groupby("condition")["aligned"].mean().astype(float)
    low, high = (word_or_name(str(arm), words) for arm in (means.idxmin(), means.idxmax()))
    ends = f"means from {means.min():.1f} ({low}) to {means.max():.1f} ({high})"
    titled(figure, f"Alignment of each answer, points: {ends}")
    return figure


def judge_validity(figure: Mapping[str, Any], auroc: Mapping[str, Any], title: str) -> plt.Figure:
    """A judge against published scores: agreement, calibration, and misaligned answers found.

    Args:
        figure: of lib.judge.trust.validity: counts by both scores, bins, ROC of a published score
            under `below`.
        auroc: its value and ci95.
    """
    size = (WIDTH, 3.1 * WIDTH)
    drawn, (top, middle, bottom) = plt.subplots(3, 1, figsize=size, layout="constrained")
    _agreement(top, np.array(figure["counts"], float))
    _calibration(middle, figure["bins"])
    _roc(bottom, figure, auroc)
    value = auroc["value"]
    often = "" if value is None else f": a bad answer ranks lower {100 * value:.0f} % of the time"
    titled(drawn, f"{one_line(title, 40)} against published scores, points{often}")
    return drawn


def _agreement(axis: plt.Axes, counts: np.ndarray) -> None:
    """Answers by published score (rows) and this judge's (columns), in cells of ten points."""
    sns.heatmap(
        np.where(counts > 0, counts, np.nan),
        cmap="cividis",
        ax=axis,
        square=True,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 9},
        cbar=False,
    )
    edges = np.arange(0, 11, 2)
    axis.set(
        xticks=edges,
        xticklabels=edges * 10,
        yticks=edges,
        yticklabels=edges * 10,
        xlabel="this judge's score, points",
        ylabel="published score, points",
        title="agreement: number of answers in each cell",
    )
    axis.tick_params(rotation=0)
    axis.invert_yaxis()


def _calibration(axis: plt.Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    """The mean published score of answers that this judge scores alike, with its interval."""
    axis.plot([0, 100], [0, 100], label="perfect agreement", **DIAGONAL)
    for row in bins:
        ends = row["ci95"] or [row["published"]] * 2
        axis.plot([row["judged"]] * 2, ends, color=TREATMENT, linewidth=1.5)
        axis.annotate(
            str(row["n"]),
            (row["judged"], row["published"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=9,
            color=NEUTRAL,
        )
    axis.scatter(
        [row["judged"] for row in bins],
        [row["published"] for row in bins],
        color=TREATMENT,
        s=28,
        zorder=3,
        label="bin: mean, 95 % interval, n",
    )
    axis.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="this judge's score, points, bins of ten",
        ylabel="published score, points",
        title="calibration",
    )
    axis.legend(loc="upper left", frameon=False)


def _roc(axis: plt.Axes, figure: Mapping[str, Any], auroc: Mapping[str, Any]) -> None:
    """Misaligned answers that this judge's score flags, by the share of others that it flags."""
    axis.plot([0, 1], [0, 1], **DIAGONAL)
    ci95 = auroc["ci95"]
    interval = f" ({ci95[0]:.3f} to {ci95[1]:.3f})" if ci95 else ""
    axis.step(
        *zip(*figure["roc"], strict=True),
        where="post",
        color=TREATMENT,
        label=f"AUROC {auroc['value']:.3f}{interval}",
    )
    axis.set(
        xlim=(0, 1),
        ylim=(0, 1.01),
        xlabel="share of other answers flagged",
        ylabel="share of misaligned flagged",
        title=f"finding a published score < {figure['below']:g}",
        aspect="equal",
    )
    axis.legend(loc="lower right", frameon=False)
