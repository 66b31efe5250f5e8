"""Before Snakemake starts: what a run's flags call finished although its files say otherwise.

Snakemake compares dates, which a set-back clock, a copy, or an editor that keeps a date falsifies.
So the content of what it compares is looked at here, and flags that are not true are removed. The
notebooks then check their own manifests, and skip what is still valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lib.config.params import PARAMS_DIR, ROOT
from lib.run.files import sha256
from lib.run.records import RecordError, intact, read_record, seal_of, write_record
from lib.run.runs import Run
from lib.run.stage import altered_output

RUN_WIDE = "00"  # sorts before every notebook's number
ANALYSIS = "06"
FINISHED = "06_stats_and_gates"  # the flag of the last notebook
PILOT_NEEDS = "04"


def settle(run: Run, profile: str, page: Path) -> list[str]:
    """Remove every flag that is not true. Returns one line for each reason.

    Args:
        run: the run.
        profile: the profile's name, whose file the flags depend on.
        page: the first page of the run's report.
    """
    flags = run.dir / ".done"
    if not flags.is_dir():
        return []
    reasons = [*_changed_inputs(run, profile), *_changed_outputs(run)]
    first = min((number for number, _ in reasons), default=None)
    if first is not None:
        for flag in flags.iterdir():
            if first <= _number(flag.name):
                flag.unlink()
        if first <= PILOT_NEEDS:
            run.pilot.unlink(missing_ok=True)
            seal_of(run.pilot).unlink(missing_ok=True)
    if not _shows(run, page):
        page.unlink(missing_ok=True)
    return [line for _, line in reasons]


def remember(run: Run, profile: str) -> None:
    """Write down the content of everything that the flags depend on."""
    write_record(_seen(run), {"inputs": _inputs(profile)})


def shown(run: Run, page: Path) -> None:
    """Write down which result a page shows, after it was rendered."""
    if page.exists() and run.result.exists():
        write_record(_page_of(run), {"result": sha256(run.result), "page": sha256(page)})


def _shows(run: Run, page: Path) -> bool:
    """Whether a page shows the result as it is now. In an older run, which did not say, it does."""
    if not page.exists() or not _page_of(run).exists():
        return True
    try:
        known = read_record(_page_of(run))
    except RecordError:
        return False
    return run.result.exists() and known["result"] == sha256(run.result)


def _changed_inputs(run: Run, profile: str) -> list[tuple[str, str]]:
    """The parameters and notebooks that changed since the run's last start."""
    if not _seen(run).exists():
        return []
    try:
        before = read_record(_seen(run))["inputs"]
    except RecordError:
        return [(RUN_WIDE, "the record of the last start is damaged: every stage is checked")]
    now = _inputs(profile)
    changed = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            stage = Path(name).stem
            number = stage[:2] if stage[:2].isdigit() else RUN_WIDE
            changed.append((number, f"{name} has changed since the last start"))
    return changed


def _inputs(profile: str) -> dict[str, str]:
    """sha256 of the parameters and notebooks, by their names in the project."""
    names = ("conditions", "data", "gates", profile)
    files = [PARAMS_DIR / f"{name}.yaml" for name in names]
    files += sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {f"{path.parent.name}/{path.name}": sha256(path) for path in files if path.exists()}


def _changed_outputs(run: Run) -> list[tuple[str, str]]:
    """The stages whose record is damaged or whose outputs are not as it says."""
    changed = []
    # Of a finished run, somebody may have removed what takes most room.
    finished = (run.dir / ".done" / FINISHED).exists()
    for manifest in run.stage_manifests():
        if manifest.stem.startswith("ladder"):  # `make ladder` looks at its own
            continue
        try:
            altered = altered_output(read_record(manifest), run.dir, ignore_missing=finished)
        except RecordError:
            manifest.unlink()
            altered = f"manifests/{manifest.name}"
        if altered:
            line = f"{altered} is missing, cut off or changed: {manifest.stem} is made again"
            changed.append((_number(manifest.stem), line))
    changed += _changed_results([(run.pilot, PILOT_NEEDS), (run.result, ANALYSIS)], run)
    return changed


def _changed_results(results: Iterable[tuple[Path, str]], run: Run) -> list[tuple[str, str]]:
    """The results that are not as they were sealed. They are removed."""
    changed = []
    for path, number in results:
        if seal_of(path).exists() and not (path.exists() and intact(path)):
            path.unlink(missing_ok=True)
            seal_of(path).unlink(missing_ok=True)
            name = path.relative_to(run.dir)
            changed.append((number, f"{name} is missing, cut off or changed: it is made again"))
    return changed


def _number(stage: str) -> str:
    """Where a stage stands in the order; what is not a notebook's comes first."""
    return stage[:2] if stage[:2].isdigit() else RUN_WIDE


def _seen(run: Run) -> Path:
    """The record of the parameters and notebooks at the last start."""
    return run.dir / "last_start.json"


def _page_of(run: Run) -> Path:
    """The record of the result that the report's page shows."""
    return run.dir / "last_page.json"
