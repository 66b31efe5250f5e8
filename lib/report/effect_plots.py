"""Figures of the tested effect: its resamples, and what this design can find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from lib.analysis.bootstrap import mde, power
from lib.analysis.findings import Histogram
from lib.display import show
from lib.display.drawing import (
    BASELINE,
    INK,
    NEUTRAL,
    SOFT,
    TREATMENT,
    WIDTH,
    legend_below,
    no_data,
    titled,
)
from lib.display.signs import with_minus

# Threshold, its label, and the style of its line.
GAIN_LINES = (
    ("null_points", "a gain counts from", "--"),
    ("strong_points", "as predicted from", ":"),
)
ALIKE = 0.005  # two curves nowhere further apart are one line on the page
WANTED = 0.8  # the power that a design is usually asked for, and that `mde` has


def bootstrap(
    histogram: Histogram,
    delta: float,
    ci95: Sequence[float] | None,
    thresholds: Mapping[str, float],
) -> plt.Figure:
    """Resampled Δ with its interval and the gates' thresholds.

    If all resamples are alike, the bars have no width, and the line of Δ shows where they lie.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    edges = np.array(histogram.edges)
    widths = np.diff(edges)
    axis.bar(edges[:-1], histogram.counts, width=widths, align="edge", color=SOFT, linewidth=0)
    axis.axvline(delta, color=TREATMENT, linewidth=2, label=with_minus(f"Δ {delta:+.1f}"))
    if ci95:
        label = f"95 % interval {show.interval(ci95)}"
        axis.axvspan(*ci95, color=TREATMENT, alpha=0.14, linewidth=0, label=label)
    axis.axvline(0, color=INK, linewidth=1, label="no difference")
    for name, label, style in GAIN_LINES:
        gain = thresholds[name]
        axis.axvline(gain, color=BASELINE, linestyle=style, label=f"{label} {gain:+g}")
    axis.set(xlabel="Δ alignment, points of 0–100", ylabel="resamples of prompts")
    axis.grid(axis="x", visible=False)
    sns.despine(left=True)
    interval = f" (95 % interval {show.interval(ci95)})" if ci95 else ""
    titled(figure, f"Gain in alignment, defended − undefended: {delta:+.1f} points{interval}")
    legend_below(figure, axis)
    return figure


def power_curve(standard_error: float, delta: float, thresholds: Mapping[str, float]) -> plt.Figure:
    """Chance of p < alpha, and of a `supported`, by the true effect in points.

    A `supported` needs delta at `null_points` or above as well. Both follow from the standard error
    of this run's Δ, points.
    """
    if not standard_error > 0:
        return no_data("the standard error of Δ is 0 or unknown")
    alpha = thresholds["alpha"]
    null = thresholds["null_points"]
    figure, axis = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    effects = np.linspace(0, max(25.0, 1.3 * abs(delta)), 200)
    supported = power(effects, standard_error, alpha=alpha, at_least=null)
    label = f"Δ ≥ {null:+g} and p < {alpha:g}: supported"
    sns.lineplot(x=effects, y=100 * supported, color=TREATMENT, label=label, ax=axis, legend=False)
    by_p = power(effects, standard_error, alpha=alpha)
    same = np.abs(by_p - supported).max() < ALIKE
    label = f"p < {alpha:g} alone{': the same curve' if same else ''}"
    style = "--" if same else "-"
    axis.plot(effects, 100 * by_p, label=label, color=NEUTRAL, linestyle=style)
    asked = f"{100 * WANTED:.0f} %, as usually asked"
    axis.axhline(100 * WANTED, color=NEUTRAL, linestyle=":", linewidth=1, label=asked)
    for name, label, style in GAIN_LINES:
        line = {"color": BASELINE, "linestyle": style, "linewidth": 1}
        axis.axvline(thresholds[name], label=f"{label} {thresholds[name]:+g}", **line)
    found = {"color": TREATMENT, "linewidth": 1, "linestyle": "-."}
    axis.axvline(delta, label=with_minus(f"Δ found here {delta:+.1f}"), **found)
    axis.set(xlabel="true Δ, points of 0–100", ylabel="studies that find it, %", ylim=(0, 102))
    sns.despine(left=True)
    titled(figure, _reach(standard_error, null))
    legend_below(figure, axis)
    return figure


def _reach(standard_error: float, null: float) -> str:
    """From which true gain on four of five studies find it, and from which they support it."""
    found = f"{mde(standard_error):.1f}"
    supported = f"{mde(standard_error, null):.1f}"
    text = f"80 % of such studies find a true gain of {found} points"
    return text if supported == found else f"{text}; 80 % end as supported from {supported} on"
