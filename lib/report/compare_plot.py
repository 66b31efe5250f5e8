"""The effects of several runs, one panel per judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from lib.display import show
from lib.display.drawing import NEUTRAL, TREATMENT, WIDTH, no_data, one_line, titled

Panels = Mapping[str, Sequence[tuple[str, float, Sequence[float] | None]]]


def in_words(panels: Panels) -> str:
    """The figure's numbers, for somebody who cannot see it."""
    judged = []
    for judge, rows in panels.items():
        runs = [
            f"{name} {show.points(delta)} ({show.interval(ci95)})" for name, delta, ci95 in rows
        ]
        judged.append(f"by {judge}: {', '.join(runs)}")
    return f"Δ of each run in points with its 95 % interval. {'; '.join(judged)}."


def effects(panels: Panels) -> plt.Figure:
    """Δ of each run with its 95 % interval.

    Scores of two judges are never compared, so each judge has a panel with an axis of its own.

    panels: by judge, its runs as name, Δ in points and interval.
    """
    if not panels:
        return no_data("no run has a Δ")
    heights = [len(rows) for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(WIDTH, 0.5 + 0.9 * len(panels) + 0.42 * sum(heights)),
        height_ratios=[height + 1 for height in heights],
        layout="constrained",
        squeeze=False,
    )
    for (judge, rows), axis in zip(panels.items(), axes[:, 0], strict=True):
        for place, (_, delta, ci95) in enumerate(rows):
            if ci95 and None not in ci95:
                axis.plot(ci95, [place, place], color=TREATMENT, linewidth=2)
            axis.plot(delta, place, "o", color=TREATMENT)
        axis.axvline(0, color=NEUTRAL, linewidth=1)
        axis.set_yticks(range(len(rows)), [one_line(name, 24) for name, _, _ in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_title(one_line(judge, 44), loc="left")
    axes[-1, 0].set_xlabel("Δ alignment, points, with 95 % interval")
    titled(figure, "Gain in alignment of each run, defended − undefended")
    return figure
