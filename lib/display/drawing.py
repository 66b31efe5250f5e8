"""Shared by all figures: theme, colours, labels from any text, an empty figure, saving."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display import inline

# Okabe and Ito's colour-blind-safe palette.
BASELINE = "#D55E00"
TREATMENT = "#0072B2"
NEUTRAL = "#6b7280"
NO_TEXT = ("Cc", "Cs")  # Unicode categories: control characters, halves of surrogate pairs

inline.choose()
sns.set_theme(
    style="whitegrid",
    font_scale=0.85,
    rc={
        "text.parse_math": False,  # names and prompts are text: two dollar signs are not a formula
        "svg.hashsalt": "figure",  # the same figure makes the same SVG
    },
)


def save(figure: plt.Figure, folder: Path, name: str) -> None:
    """Write folder/name.png and .svg.

    It returns nothing, because a notebook shows the open figure itself and would show it twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=130, bbox_inches="tight")
    figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})


def one_line(text: str, width: int = 48) -> str:
    """Any text as a short label of one line, without signs that fonts or SVG cannot show."""
    line = " ".join("".join(map(_drawable, str(text))).split())
    if len(line) > width:
        line = line[: width - 1] + "…"
    # Matplotlib keeps labels that begin with _ out of a legend.
    return f" {line}" if line.startswith("_") else line


def _drawable(sign: str) -> str:
    """A sign, or the replacement character for one that cannot be drawn."""
    hidden = unicodedata.category(sign) in NO_TEXT and not sign.isspace()
    return "\ufffd" if hidden else sign


def no_data(what: str) -> plt.Figure:
    """A figure that says which data are missing."""
    figure, axis = plt.subplots(figsize=(6, 1.2), layout="constrained")
    axis.text(0.5, 0.5, f"no data: {what}", ha="center", va="center", color=NEUTRAL)
    axis.set_axis_off()
    return figure
