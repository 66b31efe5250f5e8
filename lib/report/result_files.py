"""The files of a result: result.json and the figures that it lists."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from lib.report.result import RunResult
from lib.run.files import atomic_path, sha256, write_text
from lib.run.records import seal_file


def new_figures(folder: Path) -> Path:
    """An empty folder for the figures of the result that `folder` will hold.

    `write` then puts it in the place of the old figures.
    """
    drawn = folder / ".figures.new"
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.mkdir(parents=True)
    return drawn


def write(folder: Path, result: RunResult) -> str:
    """Writes the result, last of all, with the sha256 of each of its figures.

    Returns the sha256 of result.json. If it stops in between, the old result stays. It does not
    list the new figures, so the report does not show them.
    """
    drawn = folder / ".figures.new"
    figures = {path.name: sha256(path) for path in sorted(drawn.iterdir())}
    with atomic_path(folder / "figures") as beside:
        drawn.rename(beside)
    keep(folder / "result.json", replace(result, figures=figures))
    return sha256(folder / "result.json")


def keep(path: Path, result: RunResult) -> None:
    """Write a result and seal it. Between the two it counts as changed, and is made again."""
    write_text(path, result.to_json())
    seal_file(path)
