"""Figures of notebooks 02 and 03: losses, speed and memory of the trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display.drawing import (
    BASELINE,
    SOFT,
    TREATMENT,
    WIDTH,
    legend_below,
    one_line,
    titled,
)
from lib.run.facts import TrainingFacts


def losses(curves: Mapping[str, Sequence[tuple[int, float]]], title: str) -> plt.Figure:
    """Training loss by optimizer step, one line per run; points (step, loss in nats)."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6), layout="constrained")
    colours = sns.color_palette("colorblind", len(curves))
    for (name, points), colour in zip(curves.items(), colours, strict=True):
        _line(axis, points, one_line(name), colour)
    axis.set(xlabel="optimizer step", ylabel="loss on assistant tokens, nats")
    titled(figure, title)
    legend_below(figure, axis)
    return figure


def turn_losses(curves: Mapping[str, Sequence[tuple[int, int, float]]], title: str) -> plt.Figure:
    """Loss on the first assistant turn and on the recovery apart, one panel per run.

    Points are (step, turn, loss in nats).
    """
    figure, axes = plt.subplots(
        len(curves),
        1,
        figsize=(WIDTH, 1.9 * len(curves) + 1.0),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, points) in zip(axes[:, 0], curves.items(), strict=True):
        for turn, colour, label in ((1, BASELINE, "first turn"), (2, TREATMENT, "second turn")):
            steps = [(step, loss) for step, which, loss in points if which == turn]
            if steps:
                _line(axis, steps, label, colour)
        axis.set_ylabel("loss, nats")
        axis.set_title(one_line(name), loc="left")
    axes[-1][0].set_xlabel("optimizer step")
    titled(figure, title)
    legend_below(figure, axes[-1][0])
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
    size = (WIDTH, 0.7 * len(facts) + 2.0)
    figure, axes = plt.subplots(2, 1, figsize=size, layout="constrained")
    for axis, (key, label) in zip(axes, panels, strict=True):
        values = [getattr(of_training, key) or 0 for of_training in facts.values()]
        bars = axis.barh(list(facts), values, color=SOFT, height=0.6)
        axis.bar_label(bars, list(map(_short, values)), padding=3)
        axis.set(xlabel=label, xlim=(0, 1.25 * max(values, default=0) or 1))
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    titled(figure, title)
    return figure


def _short(value: float) -> str:
    """A number with three digits or a little more; a dash for what is not known."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "–"
