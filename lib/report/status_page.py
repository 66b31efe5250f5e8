"""The page of a run that has no report yet: where it is, what went wrong, and what is finished.

It is reports/<run>/status/index.html, with the executed notebooks beside it. An older report of the
run stays, and a finished one takes the page away.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from markupsafe import Markup

from lib.config.params import ROOT
from lib.display import html, show
from lib.display.visible import visible
from lib.report import page, site, stage_states, status
from lib.report.page import Link, Navigation
from lib.report.stage_states import FAILED, FINISHED, STOPPED, StageState
from lib.report.status import Status
from lib.run.files import atomic_path
from lib.run.plan import REPORT
from lib.run.runs import Run

FOLDER = "status"


def build(run: Run) -> Path:
    """Render the page and return it. Raises ParamsError if the run is unknown."""
    found = status.read(run)
    notebooks = _notebooks(run, found)
    target = ROOT / "reports" / run.name / FOLDER
    here = Link("Status", "index.html")
    navigation = Navigation(
        run.name, [here], folded=[Link(name, f"{name}.html") for name in notebooks]
    )
    with atomic_path(target) as beside:
        beside.mkdir()
        for name, body in notebooks.items():
            page.write(beside, navigation, f"{name}.html", name, body)
        page.write(beside, navigation, here.file, here.title, _body(found, list(notebooks)))
    return target / here.file


def _notebooks(run: Run, found: Status) -> dict[str, Markup]:
    """The bodies of the notebooks that finished, and of the one that did not, by name."""
    import nbformat

    begun = {state.name.split(".")[0] for state in found.stages if state.started}
    bodies = {}
    for path in sorted((run.dir / "notebooks").glob("0*.ipynb")):
        if path.stem.split(".")[0] not in begun:
            continue
        try:
            notebook = nbformat.read(path, as_version=4)
        except (ValueError, nbformat.validator.NotebookValidationError):
            continue  # papermill is writing it right now
        bodies[path.stem] = site.notebook_body(notebook)
    return bodies


def _body(found: Status, notebooks: list[str]) -> Markup:
    """The page's body."""
    stage = found.current
    return html.render(
        "status",
        run_name=found.run.name,
        title=found.title,
        state=_state(found),
        error=visible(stage.error) if stage and stage.error else None,
        failed=bool(stage and stage.state == FAILED),
        at_work=found.at_work,
        command=found.command,
        facts={
            "Elapsed": show.duration(found.elapsed),
            "Left": status.left_line(found),
            "Cost": status.cost_line(found),
            "As of": status.clock(stage_states.now()),
        },
        stages=show.table(pd.DataFrame([_row(state) for state in found.stages])),
        lines=[visible(line) for line in found.last_lines],
        notebooks=notebooks,
        has_report=(ROOT / "reports" / found.run.name / "index.html").exists(),
    )


def _state(found: Status) -> str:
    """How the last attempt stands."""
    if found.target != REPORT:
        return FINISHED if found.code == 0 else STOPPED
    return found.current.state if found.current else FINISHED


def _row(state: StageState) -> dict[str, str]:
    """A row of the table of stages."""
    return {
        "": status.SIGNS.get(state.state, ""),
        "stage": state.name,
        "state": state.state,
        "began": status.clock(state.started),
        "took": show.duration(state.seconds),
    }
