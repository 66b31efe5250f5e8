"""The ladder's figure: what every dose did to the untreated baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display.drawing import BASELINE, INK, SOFT, TREATMENT, WIDTH, one_line, titled

ROW = 0.42  # inches of a rung in a panel
LEGEND = 0.25  # inches from a panel to its legend


class Panel(NamedTuple):
    """One measure of every rung."""

    label: str
    series: Sequence[tuple[str, str]]  # key in the table, and label
    threshold: str | None  # its bound in params/gates.yaml


PANELS = (
    Panel(
        "damage, points",
        (("damage", "all"), ("damage_filtered", "coherent")),
        "ladder_damage_points",
    ),
    Panel(
        "damage by the set's own field, points",
        (("damage_far", "far from it"), ("damage_near", "near it")),
        "em_induced_points",
    ),
    Panel(
        "coherence lost, points",
        (("coherence_drop", "coherence"),),
        "ladder_coherence_drop_points",
    ),
    Panel("share of answers", (("code", "code"), ("refusal", "refusal")), "code_collapse_share"),
    Panel("last loss, nats", (("last_loss", "loss"),), None),
)


def ladder(
    rows: Sequence[Mapping[str, Any]], chosen: str | None, thresholds: Mapping[str, float]
) -> plt.Figure:
    """Panels over the rungs in their order: damage, coherence lost, shares, loss.

    rows: of table.json. A number that is missing is a gap. The chosen rung is in bold.
    """
    size = (WIDTH, len(PANELS) * (ROW * len(rows) + 0.75) + 0.6)
    figure, axes = plt.subplots(len(PANELS), 1, figsize=size, layout="constrained")
    for axis, panel in zip(axes, PANELS, strict=True):
        limit = thresholds[panel.threshold] if panel.threshold else None
        _panel(axis, panel, rows, chosen, limit)
    title = f"Chosen dose: {one_line(chosen, 60)}" if chosen else "No dose holds the rule"
    titled(figure, title)
    return figure


def _panel(
    axis: plt.Axes,
    panel: Panel,
    rows: Sequence[Mapping[str, Any]],
    chosen: str | None,
    limit: float | None,
) -> None:
    """One measure of every rung, with its bound as a dotted line."""
    count = len(panel.series)
    height = 0.8 / count
    for number, (key, label) in enumerate(panel.series):
        values = [row.get(key) for row in rows]
        known = [float("nan") if value is None else value for value in values]
        offsets = [place + (number - (count - 1) / 2) * height for place in range(len(rows))]
        colour = (BASELINE, TREATMENT)[number] if count > 1 else SOFT
        axis.barh(offsets, known, height=height, color=colour, linewidth=0, label=label)
    if limit is not None:
        axis.axvline(limit, color=INK, linewidth=1, linestyle=":", label=f"bound {limit:g}")
    axis.set_title(panel.label, loc="left")
    axis.set_yticks(range(len(rows)), [_label(row) for row in rows])
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["name"] == chosen else "normal")
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    sns.despine(ax=axis, left=True)
    if count > 1 or limit is not None:
        below = -LEGEND / (ROW * len(rows))
        axis.legend(
            loc="upper left", bbox_to_anchor=(-0.02, below), ncols=3, borderpad=0, columnspacing=1
        )


def _label(row: Mapping[str, Any]) -> str:
    """A rung: its name, rate and steps."""
    steps = row.get("optimizer_steps")
    return f"{one_line(row['name'], 18)}\n{row['learning_rate']:g}, {steps} steps"
