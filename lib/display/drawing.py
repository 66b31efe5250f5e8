"""Shared by all figures: theme, colours, labels from any text, an empty figure, saving.

A figure is narrow, so that a telephone shows it without making its letters unreadable, and its
title says what it shows.
"""

from __future__ import annotations

import textwrap
import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display import inline
from lib.display.signs import with_minus

WIDTH = 4.2  # inches of a figure: letters of 10 points are then 12 pixels high on a telephone
SIZE = 10  # points of all letters but the title's
TITLE_SIGNS = 40  # of a line of the title
LEGEND_SIGNS = 46  # of a line of the legend
# Okabe and Ito's colour-blind-safe palette.
BASELINE = "#D55E00"
TREATMENT = "#0072B2"
THIRD = "#009E73"
NEUTRAL = "#6b7280"
INK = "#27272b"
GRID = "#dcdce2"
SOFT = "#9aa5b1"
NO_TEXT = ("Cc", "Cs")  # Unicode categories: control characters, halves of surrogate pairs
# In a page that is dark, a drawing has these colours in place of its own.
DARK = {INK: "#e6e6ea", GRID: "#3c3c44", NEUTRAL: "#a3a8b4", TREATMENT: "#56b4e9"}

inline.choose()
sns.set_theme(
    style="whitegrid",
    rc={
        "text.parse_math": False,  # names and prompts are text: two dollar signs are not a formula
        "svg.hashsalt": "figure",  # the same figure makes the same SVG
        "font.size": SIZE,
        "axes.titlesize": SIZE,
        "axes.labelsize": SIZE,
        "xtick.labelsize": SIZE,
        "ytick.labelsize": SIZE,
        "legend.fontsize": SIZE,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.titlecolor": INK,
        "grid.color": GRID,
        "axes.edgecolor": GRID,
        "axes.facecolor": "none",
        "legend.frameon": False,
    },
)


def save(figure: plt.Figure, folder: Path, name: str) -> None:
    """Write folder/name.png and .svg; the SVG is transparent and follows a page that is dark.

    It returns nothing, because a notebook shows the open figure itself and would show it twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight", facecolor="white")
    path = folder / f"{name}.svg"
    drawing = {
        "dpi": 160,
        "facecolor": "none",
        "metadata": {"Date": None},
    }  # dpi: of pictures in it
    figure.savefig(path, bbox_inches="tight", **drawing)
    path.write_text(_follows_dark(path.read_text(encoding="utf-8")), encoding="utf-8")


def _follows_dark(svg: str) -> str:
    """A drawing with the rules of DARK in its first style sheet."""
    rules = [
        f'[style*="{part}: {light.lower()}"] {{ {part}: {dark} !important }}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    ]
    sheet = f"@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}"
    start = 'type="text/css">'
    return svg.replace(start, f"{start}{sheet}", 1)


def titled(figure: plt.Figure, title: str) -> None:
    """Give a figure its title, in lines, at the left."""
    lines = textwrap.fill(with_minus(title), TITLE_SIGNS)
    figure.suptitle(lines, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)


def legend_below(figure: plt.Figure, axis: plt.Axes) -> None:
    """Put an axis' legend below the whole figure, one entry a line: a label may be long."""
    handles, labels = axis.get_legend_handles_labels()
    labels = [textwrap.fill(label, LEGEND_SIGNS, drop_whitespace=False) for label in labels]
    if handles:
        figure.legend(handles, labels, loc="outside lower left", borderpad=0)


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
    figure, axis = plt.subplots(figsize=(WIDTH, 1.2), layout="constrained")
    text = textwrap.fill(f"no data: {what}", TITLE_SIGNS)
    axis.text(0.5, 0.5, text, ha="center", va="center", color=NEUTRAL)
    axis.set_axis_off()
    return figure
