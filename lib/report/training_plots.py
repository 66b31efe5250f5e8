"""Figures of notebooks 02 and 03: losses, speed and memory of the trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display.drawing import BASELINE, TREATMENT, one_line
from lib.run.facts import TrainingFacts


def losses(curves: Mapping[str, Sequence[tuple[int, float]]], title: str) -> plt.Figure:
    """Training loss by optimizer step, one line per run; points (step, loss in nats)."""
    figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
    colours = sns.color_palette("colorblind", len(curves))
    for (name, points), colour in zip(curves.items(), colours, strict=True):
        _line(axis, points, one_line(name), colour)
    axis.set(xlabel="optimizer step", ylabel="loss on assistant tokens, nats", title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def turn_losses(curves: Mapping[str, Sequence[tuple[int, int, float]]], title: str) -> plt.Figure:
    """Loss on the first assistant turn and on the recovery apart, one panel per run.

    Points are (step, turn, loss in nats).
    """
    figure, axes = plt.subplots(
        1,
        len(curves),
        figsize=(3.6 * len(curves) + 1.4, 2.9),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, points) in zip(axes[0], curves.items(), strict=True):
        for turn, colour, label in ((1, BASELINE, "first turn"), (2, TREATMENT, "second turn")):
            steps = [(step, loss) for step, which, loss in points if which == turn]
            if steps:
                _line(axis, steps, label, colour)
        axis.set(xlabel="optimizer step", title=name)
    axes[0][0].set(ylabel="loss, nats")
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _line(axis: plt.Axes, points: Sequence[tuple[int, float]], label: str, colour: Any) -> None:
    """A curve of (step, loss)."""
    axis.plot(*zip(*points, strict=True), color=colour, marker=".", markersize=4, label=label)


def training_cost(facts: Mapping[str, TrainingFacts], title: str) -> plt.Figure:
    """Tokens/s and peak memory in GiB of each training, from its stage's facts."""
    panels = (
        ("tokens_per_second", "tokens/s since its last start, no padding"),
        ("peak_memory_gib", "peak memory, GiB (on a CPU: of the process so far)"),
    )
    size = (9, 0.35 * len(facts) + 1.3)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for axis, (key, label) in zip(axes, panels, strict=True):
        values = [getattr(of_training, key) or 0 for of_training in facts.values()]
        bars = axis.barh(list(facts), values, color="#9aa5b1", height=0.6)
        axis.bar_label(bars, list(map(_short, values)), padding=3)
        axis.set(xlabel=label, xlim=(0, 1.25 * max(values, default=0) or 1))
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure


def _short(value: float) -> str:
    """A number with three digits or a little more; a dash for what is not known."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "–"
