"""Figures of the arms, one by one: mean alignment, and the reflex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from lib.analysis.effects import ReflexRates
from lib.analysis.findings import ArmSummary
from lib.display.drawing import (
    BASELINE,
    NEUTRAL,
    THIRD,
    TREATMENT,
    WIDTH,
    legend_below,
    no_data,
    one_line,
    titled,
)
from lib.report.arm_words import NO_WORDS, labels, word_or_name

# Name, label, colour and marker of each rate.
REFLEXES = (
    ("literal", "says the reset words", TREATMENT, "o"),
    ("semantic", "recovers, by the judge", THIRD, "D"),
    ("parrot", "parrot: says them, does not recover", BASELINE, "s"),
)


def arm_means(
    arms: Mapping[str, ArmSummary],
    kind: str,
    order: Sequence[str],
    over: str = "prompts",
    words: Mapping[str, str] = NO_WORDS,
) -> plt.Figure:
    """Mean alignment of every arm with its 95 % interval, and its mean coherence.

    An arm without data is left out.

    Args:
        kind: "filtered" or "unfiltered".
        order: arms from top to bottom.
        over: what was resampled for the intervals.
        words: the part of each arm in a word.
    """
    key = "aligned" if kind == "unfiltered" else "aligned_filtered"
    names = [name for name in order if name in arms and getattr(arms[name], key) is not None]
    if not names:
        return no_data("no arm has scored alignment answers")
    size = (WIDTH, 0.45 * len(names) + 2.3)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for y, name in enumerate(reversed(names)):
        mean = getattr(arms[name], key)
        coherent = arms[name].coherent
        ci95 = getattr(arms[name], f"{key}_ci95")
        axis.plot(ci95 or [mean, mean], [y, y], color=TREATMENT, linewidth=2)
        label = f"alignment ({kind}), bar: 95 % interval over {over}" if y == 0 else None
        axis.scatter(mean, y, color=TREATMENT, s=42, zorder=3, label=label)
        if coherent is not None:
            label = "coherence (all scored answers)" if y == 0 else None
            axis.scatter(coherent, y, facecolor="none", edgecolor=NEUTRAL, s=36, label=label)
    axis.set(
        yticks=range(len(names)),
        yticklabels=labels(names[::-1], words),
        xlim=(0, 100),
        ylim=(-0.7, len(names) - 0.3),
        xlabel="mean of per-prompt means, points of 0–100",
    )
    axis.grid(axis="y", visible=False)
    sns.despine(left=True)
    means = {name: getattr(arms[name], key) for name in names}
    best = max(means, key=lambda name: means[name])
    worst = min(means, key=lambda name: means[name])
    lowest, highest = (word_or_name(name, words) for name in (worst, best))
    ends = f"from {means[worst]:.1f} ({lowest}) to {means[best]:.1f} ({highest})"
    titled(figure, f"Mean alignment of each arm, points: {ends}")
    legend_below(figure, axis)
    return figure


def reflex_rates(
    arms: Mapping[str, ArmSummary],
    order: Sequence[str],
    subset: str | None,
    words: Mapping[str, str] = NO_WORDS,
) -> plt.Figure:
    """Reflex rates of every arm with 95 % intervals: alignment suite, and follow-up turn.

    Args:
        order: arms from top to bottom.
        subset: the eval set whose answers the rates count (None = all prompts).
        words: the part of each arm in a word.
    """
    names = [name for name in reversed(order) if name in arms]
    where = one_line(subset or "all prompts", 24)
    asked: dict[str, list[ArmSummary | ReflexRates]] = {
        f"first answer, {where}": [arms[name] for name in names],
        "after “continue”, all prompts": [arms[name].followup for name in names],
    }
    panels = {title: rates for title, rates in asked.items() if any(map(_has_rate, rates))}
    if not panels:
        return no_data("no reflex rate was measured")
    size = (WIDTH, (0.48 * len(names) + 0.4) * len(panels) + 1.9)
    figure, grid = plt.subplots(
        len(panels), 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
    )
    axes = list(grid[:, 0])
    for axis, (title, rates) in zip(axes, panels.items(), strict=True):
        _rate_panel(axis, labels(names, words), rates, title)
    axes[-1].set_xlabel("share of answers, %")
    # The legend has marks of its own: the first arm may have no rate to take it from.
    for _, label, colour, marker in REFLEXES:
        axes[-1].scatter([], [], color=colour, marker=marker, s=30, label=label)
    semantic = {name: arms[name].semantic for name in names}
    shares = {name: rate.share for name, rate in semantic.items() if rate}
    title = "Answers that catch themselves, %, with 95 % intervals"
    if shares:
        most = max(shares, key=lambda name: shares[name])
        share = 100 * shares[most]
        title += f": at most {share:.1f} % recover ({word_or_name(most, words)})"
        if share == 0:
            title = f"{title.split(':')[0]}: no first answer of any arm recovers"
    titled(figure, title)
    legend_below(figure, axes[-1])
    return figure


def _rate_panel(
    axis: plt.Axes, labelled: Sequence[str], rates: Sequence[ArmSummary | ReflexRates], title: str
) -> None:
    """Each arm's reflex rates on one suite; labels and rates from bottom to top."""
    for shift, (key, _, colour, marker) in enumerate(REFLEXES):
        for y, of_arm in enumerate(rates):
            rate = getattr(of_arm, key)
            if rate is None:
                continue  # what was not measured is not a point, and least of all a zero
            height = y + 0.2 * (1 - shift)
            if rate.ci95:
                axis.plot(np.array(rate.ci95) * 100, [height] * 2, color=colour, linewidth=1.5)
            axis.scatter(rate.share * 100, height, color=colour, marker=marker, s=26, zorder=3)
    axis.set(
        xlim=(-2, 102),
        yticks=range(len(labelled)),
        yticklabels=labelled,
        ylim=(-0.6, len(labelled) - 0.4),
    )
    axis.set_title(title, loc="left")
    axis.grid(axis="y", visible=False)
    sns.despine(ax=axis, left=True)


def _has_rate(rates: ArmSummary | ReflexRates) -> bool:
    return any(getattr(rates, key) is not None for key, _, _, _ in REFLEXES)
