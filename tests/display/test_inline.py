"""Figures are in the executed notebook whatever the environment says of matplotlib's back end."""

from __future__ import annotations

import nbclient
import nbformat
import pytest

CELL = """
from lib.report import training_plots
training_plots.losses({"arm": [(1, 2.0), (2, 1.0)]}, "a figure");
"""


@pytest.mark.parametrize("backend", ["agg", "TkAgg", "nonsense"])
def test_a_notebook_has_its_figure(tmp_path, monkeypatch, backend):
    monkeypatch.setenv("MPLBACKEND", backend)
    (tmp_path / "matplotlibrc").write_text("backend: pdf\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=300, allow_errors=True
    ).execute()
    shown = [output.get("data", {}) for output in notebook.cells[0].outputs]
    assert any("image/png" in data for data in shown), notebook.cells[0].outputs
