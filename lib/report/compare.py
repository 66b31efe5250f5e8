"""`make compare RUNS="a b c"`, or NAME of a sweep: runs side by side, on one page.

What differs in their parameters comes first. The page is reports/<a,b,c>/index.html; no run has a
comma in its name.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
from markupsafe import Markup

from lib.config.params import ROOT
from lib.display import drawing, html, show
from lib.report import compare_plot, compared_runs, figures, page, site
from lib.report.compared_runs import UNKNOWN_JUDGE, Finished
from lib.report.gate_words import PERCENT, SCORE, SHARE
from lib.report.page import Link, Navigation
from lib.run.files import atomic_path, fingerprint

LONGEST_FOLDER = 200  # bytes; a file system takes 255
OF_ARMS = (  # key of an arm in result.json, caption, how its numbers are written
    ("aligned", "Alignment, unfiltered, points", SCORE),
    ("aligned_filtered", "Alignment, filtered, points", SCORE),
    ("coherent", "Coherence, points", SCORE),
    ("refusal", "Refusals", SHARE),
    ("harmful", "Harmful answers to ordinary questions", PERCENT),
    ("acc", "Right answers in the quiz", SHARE),
)


def build(runs: Sequence[Finished]) -> Path:
    """Render the page and return it."""
    target = ROOT / "reports" / folder_name([one.run.name for one in runs])
    reports = [
        Link(one.run.name, f"../{one.run.name}/index.html")
        for one in runs
        if (ROOT / "reports" / one.run.name / "index.html").exists()
    ]
    here = Link("Comparison", "index.html")
    navigation = Navigation("comparison", [here, *reports])
    text = body(runs)
    with atomic_path(target) as beside:
        beside.mkdir()
        title = ", ".join(one.run.name for one in runs)
        page.write(beside, navigation, here.file, title, text)
    return target / here.file


def folder_name(names: Sequence[str]) -> str:
    """The folder of a comparison: the names with commas, or a digest where they are too long."""
    joined = ",".join(names)
    return joined if len(joined) <= LONGEST_FOLDER else f"compare,{fingerprint(list(names))[:16]}"


def body(runs: Sequence[Finished]) -> Markup:
    """The page's body."""
    parameters, n_equal = compared_runs.differing(runs)
    panels = _panels(runs)
    return html.render(
        "compare",
        names=[one.run.name for one in runs],
        judges=None if compared_runs.same_judge(runs) else _judges(runs),
        unknown=any(one.judge == UNKNOWN_JUDGE for one in runs),
        elsewhere=[one.run.name for one in runs if not one.manifest],
        invalid=[one.run.name for one in runs if one.result["verdict"] == "invalid"],
        parameters=show.table(parameters) if len(parameters) else "",
        equal=show.plural(n_equal, "parameter"),
        effects=_drawing(compare_plot.effects(panels)),
        effects_alt=compare_plot.in_words(panels),
        numbers=show.table(compared_runs.numbers(runs)),
        arms=[
            show.table(compared_runs.arms(runs, key, unit), caption)
            for key, caption, unit in OF_ARMS
        ],
        figures=_figures(runs),
    )


def _judges(runs: Sequence[Finished]) -> list[tuple[str, str]]:
    """Each judge with the runs that it scored."""
    return [
        (judge, ", ".join(one.run.name for one in runs if one.judge == judge))
        for judge in dict.fromkeys(one.judge for one in runs)
    ]


def _panels(runs: Sequence[Finished]) -> dict[str, list[tuple[str, float, Sequence[float] | None]]]:
    """Name, Δ and interval of the runs with a Δ, by judge. Each unknown judge is one of its own."""
    panels: dict[str, list] = {}
    for one in runs:
        if one.result["delta"] is not None:
            row = (one.run.name, one.result["delta"], one.result["ci95"])
            unknown = one.judge == UNKNOWN_JUDGE
            panel = f"{one.judge} of {one.run.name}" if unknown else one.judge
            panels.setdefault(panel, []).append(row)
    return panels


def _figures(runs: Sequence[Finished]) -> list[dict[str, Any]]:
    """Each figure that some run has: its title, and what was drawn for which run."""
    by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in figures.TITLES}
    for one in runs:
        own = site.own_figures(dict(one.result), one.run.result.parent / "figures")
        for figure in figures.figures(one.result, own, "figures"):
            by_name[figure.name].append({"figure": figure, "finished": one})
    return [
        {"title": figures.TITLES[name][0], "drawn": drawn}
        for name, drawn in by_name.items()
        if drawn
    ]


def _drawing(figure: plt.Figure) -> str:
    """A figure's SVG in base64; the figure is closed."""
    with TemporaryDirectory() as folder:
        drawing.save(figure, Path(folder), "effects")
        plt.close(figure)
        return base64.b64encode((Path(folder) / "effects.svg").read_bytes()).decode()


def main(given: Sequence[str]) -> None:
    """The command line: names of runs, or else SWEEP or RUNS of the environment."""
    try:
        if given:
            runs = compared_runs.named(" ".join(given))
        elif sweep := os.environ.get("SWEEP"):
            runs = compared_runs.of_sweep(sweep)
        else:
            runs = compared_runs.named(os.environ.get("RUNS", ""))
        made = build(runs)
    except (ValueError, OSError) as error:
        sys.exit(f"make compare: {error}")
    print(f"comparison: {made.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
