"""Figures of the tested effect: its resamples, and what this design can find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from lib.analysis.bootstrap import power
from lib.analysis.findings import Histogram
from lib.display.drawing import BASELINE, NEUTRAL, TREATMENT, no_data

# Threshold, its label, and the style of its line.
GAIN_LINES = (("null_points", "null below", "--"), ("strong_points", "strong from", ":"))


def bootstrap(
    histogram: Histogram,
    delta: float,
    ci95: Sequence[float] | None,
    thresholds: Mapping[str, float],
) -> plt.Figure:
    """Resampled Δ with its interval and the gates' thresholds.

    If all resamples are alike, the bars have no width, and the line of Δ shows where they lie.
    """
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    edges = np.array(histogram.edges)
    width = np.diff(edges)
    heights = histogram.counts
    axis.bar(edges[:-1], heights, width, align="edge", color="#9ecae1", edgecolor="none")
    axis.axvline(delta, color=TREATMENT, linewidth=2, label=f"Δ = {delta:+.2f}")
    if ci95:
        label = f"95 % interval {ci95[0]:+.2f} to {ci95[1]:+.2f}"
        axis.axvspan(*ci95, color=TREATMENT, alpha=0.10, label=label)
    axis.axvline(0, color="black", linewidth=1)
    for name, label, style in GAIN_LINES:
        gain = thresholds[name]
        axis.axvline(gain, color=BASELINE, linestyle=style, label=f"{label} {gain:+g}")
    axis.set(xlabel="Δ alignment, treatment − baseline, points", ylabel="resamples")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
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
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    effects = np.linspace(0, max(25.0, 1.3 * abs(delta)), 200)
    supported = power(effects, standard_error, alpha=alpha, at_least=null)
    label = f"supported: Δ at {null:+g} or above, and p"
    axis.plot(effects, supported, color=TREATMENT, label=label)
    by_p = power(effects, standard_error, alpha=alpha)
    axis.plot(effects, by_p, color=NEUTRAL, label=f"p < {alpha:g} alone")
    axis.axhline(0.8, color=NEUTRAL, linestyle=":", linewidth=1)
    for name, label, style in GAIN_LINES:
        line = {"color": BASELINE, "linestyle": style, "linewidth": 1}
        axis.axvline(thresholds[name], label=f"{label} {thresholds[name]:+g}", **line)
    axis.axvline(delta, color=TREATMENT, linewidth=1, linestyle="-.", label=f"Δ found {delta:+.2f}")
    axis.set(xlabel="true Δ, points", ylabel="chance", ylim=(0, 1.02))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
