"""The ladder's figure: what every dose did to the untreated baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from lib.display.drawing import BASELINE, TREATMENT, one_line

GREY = "#9aa5b1"


def ladder(
    rows: Sequence[Mapping[str, Any]], chosen: str | None, thresholds: Mapping[str, float]
) -> plt.Figure:
    """Four panels over the rungs in their order: damage, coherence drop, shares, loss.

    rows: of table.json. A number that is missing is a gap. The chosen rung is in bold.
    """
    panels = (
        ("damage, points", [("damage", "unfiltered"), ("damage_filtered", "filtered")]),
        (
            "damage by prompts, points",
            [("damage_far", "far from the set's field"), ("damage_near", "near it")],
        ),
        ("coherence drop, points", [("coherence_drop", "coherence of base − rung")]),
        ("share of answers", [("code", "code"), ("refusal", "refusal")]),
        ("last loss, nats", [("last_loss", "loss")]),
    )
    limits = (
        thresholds["ladder_damage_points"],
        thresholds["em_induced_points"],
        thresholds["ladder_coherence_drop_points"],
        thresholds["code_collapse_share"],
        None,
    )
    size = (2.6 * len(panels) + 1.5, 0.45 * len(rows) + 1.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, layout="constrained")
    places = range(len(rows))
    for axis, (title, series), limit in zip(axes, panels, limits, strict=True):
        height = 0.8 / len(series)
        for number, (key, label) in enumerate(series):
            values = [row.get(key) for row in rows]
            known = [float("nan") if value is None else value for value in values]
            offsets = [place + (number - (len(series) - 1) / 2) * height for place in places]
            colour = (BASELINE, TREATMENT)[number] if len(series) > 1 else GREY
            axis.barh(offsets, known, height=height, color=colour, label=label)
        if limit is not None:
            axis.axvline(limit, color="black", linewidth=0.8, linestyle=":")
        axis.set(xlabel=title)
        if len(series) > 1:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), frameon=False, fontsize=7)
    axes[0].set_yticks(list(places), [_label(row) for row in rows], fontsize=7)
    for label, row in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["name"] == chosen else "normal")
    axes[0].invert_yaxis()
    return figure


def _label(row: Mapping[str, Any]) -> str:
    """A rung in two lines: its name, then rate and steps."""
    steps = row.get("optimizer_steps")
    return f"{one_line(row['name'])}\nlr {row['learning_rate']:g}, {steps} steps"
