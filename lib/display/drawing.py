"""What all figures share: theme, colours, labels from texts of any kind, an empty figure, saving."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

from lib.display import inline

BASELINE, TREATMENT, NEUTRAL = (
    "#D55E00",
    "#0072B2",
    "#6b7280",
)  # Okabe and Ito's colour-blind-safe palette
inline.choose()
# Names and prompts are text: two dollar signs are no formula. The salt makes the same figure the same SVG.
sns.set_theme(
    style="whitegrid", font_scale=0.85, rc={"text.parse_math": False, "svg.hashsalt": "figure"}
)


def save(figure: plt.Figure, folder: Path, name: str) -> None:
    """Writes folder/name.png and .svg. The notebook shows the open figure itself, once, so nothing is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=130, bbox_inches="tight")
    figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})


def one_line(text: str, width: int = 48) -> str:
    """Any text as a label of one line: shortened, and without signs that no font or no SVG can hold."""
    signs = (
        "\ufffd" if unicodedata.category(sign) in ("Cc", "Cs") and not sign.isspace() else sign
        for sign in str(text)
    )
    line = " ".join("".join(signs).split())
    line = line if len(line) <= width else line[: width - 1] + "…"
    return (
        f" {line}" if line.startswith("_") else line
    )  # Matplotlib keeps labels that begin with _ out of a legend


def no_data(what: str) -> plt.Figure:
    """A figure that says what it has no data for."""
    figure, axis = plt.subplots(figsize=(6, 1.2), layout="constrained")
    axis.text(0.5, 0.5, f"no data: {what}", ha="center", va="center", color=NEUTRAL)
    axis.set_axis_off()
    return figure
