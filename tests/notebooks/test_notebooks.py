"""The notebooks as files: paired, stripped, with parameters, short cells, and a named kernel."""

from __future__ import annotations

import itertools
import re

import jupytext
import nbformat
import pytest

from lib.config.params import ROOT

FOLDER = ROOT / "notebooks"
NAMES = [
    "01_build_traces",
    "02_phase1_sft",
    "03_phase2_em",
    "04_sample_and_capability",
    "05_judge",
    "06_stats_and_gates",
]
MAX_CELL_LINES = 60
MAX_CODE_LINES = 15  # of a cell that is not a figure


def read(name: str, suffix: str = ".ipynb"):
    return jupytext.read(FOLDER / f"{name}{suffix}")


def out_of_step(notebook, twin) -> list[str]:
    """Cells in which a notebook and its text twin differ."""
    pairs = zip(notebook.cells, twin.cells, strict=False)
    differing = [a.source for a, b in pairs if (a.source, a.cell_type) != (b.source, b.cell_type)]
    return differing + [
        c.source for c in notebook.cells[len(twin.cells) :] + twin.cells[len(notebook.cells) :]
    ]


def parameters_cells(notebook) -> list:
    return [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]


def test_there_are_six():
    assert (
        sorted(p.stem for p in FOLDER.glob("*.ipynb"))
        == NAMES
        == sorted(p.stem for p in FOLDER.glob("*.py"))
    )


@pytest.mark.parametrize("name", NAMES)
def test_pair_is_in_step(name):
    assert out_of_step(read(name), read(name, ".py")) == []


def test_a_pair_out_of_step_is_found():
    notebook = read(NAMES[0])
    twin = read(NAMES[0], ".py")
    twin.cells[3].source += "\nprint('changed')"
    assert out_of_step(notebook, twin) == [notebook.cells[3].source]
    assert out_of_step(notebook, read(NAMES[1], ".py"))


@pytest.mark.parametrize("name", NAMES)
def test_exactly_one_parameters_cell_with_the_public_names(name):
    (cell,) = parameters_cells(read(name))
    assigned = {line.split(" = ")[0] for line in cell.source.splitlines()}
    expected = {"profile", "seed", "run", "overrides"}
    if name[:2] in ("02", "03", "04"):
        expected |= {"condition"}
    if name[:2] == "06":
        expected |= {"judgments", "capability", "treatment", "baseline", "manual_review_done"}
    assert assigned == expected


def test_a_lost_parameters_tag_is_found():
    notebook = read(NAMES[0])
    parameters_cells(notebook)[0].metadata["tags"] = []
    assert parameters_cells(notebook) == []


@pytest.mark.parametrize("name", NAMES)
def test_stripped_valid_and_with_a_named_kernel(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.jupytext.formats == "ipynb,py:percent"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_the_narrative_comes_first(name):
    notebook = read(name)
    assert notebook.cells[0].cell_type == "markdown"
    assert all(len(c.source.splitlines()) <= MAX_CELL_LINES for c in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_no_code_cell_is_too_long_to_take_in_at_once(name):
    code = [cell.source for cell in read(name).cells if cell.cell_type == "code"]
    assert [source for source in code if len(source.splitlines()) > MAX_CODE_LINES] == []


@pytest.mark.parametrize("name", NAMES)
def test_above_every_figure_and_table_stands_what_to_look_for(name):
    cells = read(name).cells
    shown = re.compile(r"^\s*(show_table|show_html|plots\.\w+)\(", re.MULTILINE)
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code" and shown.search(cell.source):
            assert before.cell_type == "markdown", cell.source
            assert not before.source.splitlines()[-1].startswith("#"), cell.source
