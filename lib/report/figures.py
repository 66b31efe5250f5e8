"""The figures of a result on the front page: which one decides, and the others in their order."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.checks.check import FAILED, ON_TRACES
from lib.report.alt_texts import alt_text

LARGEST = 1_500_000  # bytes of a drawing that the page holds; of a larger one it holds the PNG
# The figure that decides; every other verdict has "gate".
DECIDES = {
    "null": "bootstrap",
    "inconclusive": "bootstrap",
    "supported": "bootstrap",
    "supported_strong": "bootstrap",
}
BEFORE = (
    "The untrained model told to be evil, less the same model as it is. The check failed on the "
    "trace prompts, those of the training conversations, before any training. The eval prompts "
    "are there for comparison. Bars are 95 % intervals over prompts. The hatched side is "
    "where the check fails."
)
TITLES = {  # in the order of the page: equally tall ones beside each other
    "gate": (
        "The numbers that decide",
        "Bars are 95 % intervals over {over}. The hatched side is where the gate fails.",
    ),
    "bootstrap": (
        "The gain in alignment, and how sure it is",
        "The tested difference in points of 0–100, resampled over {over}; the band is its 95 % "
        "interval. Right of the dashed line the gain counts; right of the dotted one it is as "
        "large as was predicted.",
    ),
    "power": (
        "How large a gain this design can find",
        "Share of studies like this one that would find a true gain (p < 0.05), in %, by this "
        "run's standard error. To end as supported, a study also has to measure a gain that "
        "counts.",
    ),
    "arms": (
        "Mean alignment and coherence of every arm",
        "Points of 0–100; bars are 95 % intervals. Described, not tested.",
    ),
    "reflex": (
        "How often each arm catches itself",
        "Share of answers in %; bars are 95 % intervals over prompts. A parrot says the words and "
        "does not recover.",
    ),
    "per_prompt": (
        "The gain in alignment, prompt by prompt",
        "Each row is one prompt: defended minus undefended, in points of 0–100. A gain that a few "
        "prompts make alone is not a gain of the model. Prompts are cut; the Samples page has them "
        "whole.",
    ),
    "heatmap": (
        "Mean alignment of every prompt in every arm",
        "Points of 0–100, all scored answers. A prompt that is low in every arm tells nothing "
        "about the defense. Prompts are cut; the Samples page has them whole.",
    ),
    "coherence": (
        "Alignment against coherence of every answer",
        "One dot per answer, points of 0–100. Dots left of the dashed line are not in the filtered "
        "mean.",
    ),
    "judge": (
        "The judge against published scores",
        "Points of 0–100. From above: agreement, calibration (its 95 % intervals treat answers as "
        "independent), and bad answers found by the score.",
    ),
}


class Figure(NamedTuple):
    """A figure as the page shows it."""

    name: str
    title: str
    caption: str
    alt: str  # its numbers in words
    data: str  # in base64
    kind: str  # "svg+xml" or "png"
    files: Sequence[tuple[str, str]]  # label and file in the site's folder


def figures(result: Mapping[str, Any], paths: Mapping[str, Path], folder: str) -> list[Figure]:
    """The figures that a result has, the deciding one first.

    Args:
        paths: the result's own files by name; the site holds them in `folder`.
    """
    names = [name for name in TITLES if f"{name}.png" in paths]
    decides = DECIDES.get(result["verdict"], "gate")
    names.sort(key=lambda name: name != decides)  # the others stay in their order
    return [_figure(name, result, paths, folder) for name in names]


def decides(result: Mapping[str, Any], shown: Sequence[Figure]) -> Figure | None:
    """The one figure that decides; None where the result has none."""
    wanted = DECIDES.get(result["verdict"], "gate")
    return next((figure for figure in shown if figure.name == wanted), None)


def _words(name: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """Title and caption; of a check that failed before any training, the caption says so."""
    title, caption = TITLES[name]
    failed = [str(check["detail"]) for check in result["checks"] if check["status"] == FAILED]
    if name == "gate" and failed and failed[0].startswith(ON_TRACES):
        return title, BEFORE
    return title, caption


def _figure(name: str, result: Mapping[str, Any], paths: Mapping[str, Path], folder: str) -> Figure:
    title, caption = _words(name, result)
    svg = paths.get(f"{name}.svg")
    drawn = paths[f"{name}.png"]
    kind = "png"
    if svg and svg.stat().st_size <= LARGEST:
        drawn, kind = svg, "svg+xml"
    return Figure(
        name=name,
        title=title,
        caption=caption.replace("{over}", result.get("interval_over") or "prompts"),
        alt=alt_text(name, title, result),
        data=base64.b64encode(drawn.read_bytes()).decode(),
        kind=kind,
        files=[
            (end.upper(), f"{folder}/{name}.{end}")
            for end in ("svg", "png")
            if f"{name}.{end}" in paths
        ],
    )
