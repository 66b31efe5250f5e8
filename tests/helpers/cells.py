"""Runs a notebook's cells in this process, as far as a test needs them.

A kernel of its own would take seconds.
"""

from __future__ import annotations

import jupytext

from lib.config.params import ROOT


def run_cells(name: str, *, until: str, **given) -> dict:
    """The variables after all cells up to the one that holds `until`.

    Parameters replace those of the notebook.
    """
    variables: dict = {}
    for cell in jupytext.read(ROOT / "notebooks" / f"{name}.py").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), variables)  # our own notebooks
            if "parameters" in cell.metadata.get("tags", []):
                variables.update(given)
            if until in cell.source:
                return variables
    raise LookupError(f"{name} has no cell with {until!r}")
