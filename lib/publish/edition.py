"""A run's short edition in docs/results/: page, figures, samples, result, card, ladder, attempts.

It is written beside its place and renamed. If nothing changed, the old one is left as it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.analysis import sources
from lib.checks import attempts
from lib.config.arguments import ParamsError
from lib.config.params import ROOT
from lib.publish import sample_choice
from lib.publish.model_card import model_card
from lib.publish.public import leak, shortened
from lib.publish.result_page import page_of
from lib.report import read_result
from lib.report.site import own_figures
from lib.run.dose import choice_file
from lib.run.files import atomic_path, sha256
from lib.run.records import SEAL, read_record
from lib.run.runs import Run

LIMIT = 4_000_000  # bytes of an edition
SAMPLES = "samples.jsonl"
PICTURES = (".png",)


class _UnchangedError(Exception):
    """The edition on disk is what would be written."""


def publish(run: Run) -> tuple[Path, bool]:
    """Write the edition of a run. Returns its folder and whether anything changed.

    Raises ParamsError, in one line, for a run that must not or cannot be published.
    """
    result = checked(run)
    target = ROOT / "docs" / "results" / run.name
    try:
        with atomic_path(target) as beside:
            beside.mkdir()
            _write(run, result, beside)
            _check(run, beside)
            if target.is_dir() and sha256(beside) == sha256(target):
                raise _UnchangedError
    except _UnchangedError:
        return target, False
    return target, True


def checked(run: Run) -> dict[str, Any]:
    """The result of a run that may be published. Raises ParamsError with the reason if not."""
    if not run.result.exists():
        raise ParamsError(sources.no_planned_result(run))
    profile = (read_record(run.manifest).get("profile") or {}) if run.manifest.exists() else {}
    if profile.get("demonstrates_only"):
        raise ParamsError(
            f"run {run.name!r} only demonstrates (profile {profile['profile']!r}, "
            "demonstrates_only: true), so its numbers are no result; publish a run of a profile "
            "at full protocol"
        )
    return read_result.load(run.result)


def _write(run: Run, result: Mapping[str, Any], folder: Path) -> None:
    """Every file of the edition, into an empty folder."""
    public = shortened(result)
    _json(folder / "result.json", public)
    (folder / "model_card.md").write_text(model_card(public), encoding="utf-8")
    figures = _figures(run, result, folder)
    arms = result["order"] or list(result["arms"])
    samples = sample_choice.chosen(run, arms)
    _lines(folder / SAMPLES, samples)
    known = shortened(attempts.read())
    _lines(folder / "attempts.jsonl", known)
    ladder = _ladder(run, folder)
    text = page_of(public, samples, figures, known, ladder, sha256(run.result))
    (folder / "index.html").write_text(text, encoding="utf-8")


def _figures(run: Run, result: Mapping[str, Any], folder: Path) -> list[str]:
    """Copies the PNG figures that the result lists and whose content is still what it listed."""
    own = own_figures(dict(result), run.result.parent / "figures")
    names = sorted(name for name in own if Path(name).suffix in PICTURES)
    for name in names:
        (folder / "figures").mkdir(exist_ok=True)
        shutil.copyfile(own[name], folder / "figures" / name)
    return names


def _ladder(run: Run, folder: Path) -> dict[str, Any] | None:
    """Copies table, figure and choice of the run's ladder; returns the choice. None without one."""
    if not choice_file(run).exists():
        return None
    place = folder / "ladder"
    place.mkdir()
    record = shortened(read_record(choice_file(run)))
    record.pop(SEAL, None)  # it is of the record as the run has it
    _json(place / "chosen.json", record)
    for name in ("table.csv", "ladder.png"):
        source = run.ladder / name
        if source.exists():
            shutil.copyfile(source, place / name)
    return record


def _check(run: Run, folder: Path) -> None:
    """Raises ParamsError if the edition is too large or holds what must not be published."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path: path.stat().st_size for path in files}
    if sum(sizes.values()) > LIMIT:
        largest = max(files, key=lambda path: sizes[path])
        raise ParamsError(
            f"the edition of run {run.name!r} has {sum(sizes.values()):,} bytes, at most {LIMIT:,} "
            f"are published; the largest file is {largest.name} with {sizes[largest]:,}"
        )
    asked = sample_choice.prompts(run)
    for path in files:
        if path.suffix in PICTURES:
            continue
        outputs = path.name in (SAMPLES, "index.html")
        if found := leak(path.read_text(encoding="utf-8"), asked, outputs=outputs):
            raise ParamsError(
                f"{path.relative_to(folder)} of run {run.name!r} would publish {found}; take it "
                "out of the run's profile, overrides or notes, and make the report again"
            )


def _json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _lines(path: Path, rows: list[Any]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
