"""How long the rest of a run will take, by what finished stages took.

Notebooks 02 to 04 leave a manifest for each arm, so their rate is the mean over the manifests of
this run, or else of the last run of the same profile. The other notebooks run once, so only another
run can tell. Where nothing tells, the time is unknown and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean

from lib.report.stage_states import FINISHED, RUNNING, StageState
from lib.run.files import read_json
from lib.run.plan import WITHOUT_NOTEBOOK, Plan
from lib.run.progress import seconds_left
from lib.run.records import RecordError, read_record
from lib.run.runs import Run, runs_root


@dataclass(frozen=True)
class Remaining:
    """An estimate of what is left."""

    seconds: float
    """Of the notebooks whose rate is known."""

    unknown: Sequence[str]
    """Notebooks of which nothing tells how long they take."""


def estimate(run: Run, plan: Plan, states: Sequence[StageState]) -> Remaining:
    """What is left of a run. Stages without a notebook are short and count nothing.

    states: of `lib.report.stage_states.read`.
    """
    left: dict[str, list[StageState]] = {}
    for state in states:
        if state.state != FINISHED and state.name not in WITHOUT_NOTEBOOK:
            left.setdefault(state.name.split(".")[0], []).append(state)
    seconds = 0.0
    unknown = []
    for notebook, unfinished in left.items():
        found = _of_notebook(run, plan, notebook, unfinished)
        if found is None:
            unknown.append(notebook)
        else:
            seconds += found
    return Remaining(seconds, unknown)


def _of_notebook(
    run: Run, plan: Plan, notebook: str, unfinished: Sequence[StageState]
) -> float | None:
    """Seconds that a notebook's unfinished stages will take. None if unknown."""
    running = next((state for state in unfinished if state.state == RUNNING), None)
    units = plan.units(notebook)
    finished = [name for name in units if run.stage_manifest(name).exists()]
    if not units:
        total = _in_another_run(run, plan, notebook)
    else:
        rate = _rate(run, finished) or _rate_of_another_run(run, plan, units)
        total = None if rate is None else rate * (len(units) - len(finished))
    if total is not None:
        return max(total - (_spent(run, running, finished) if running else 0), 0.0)
    # The step at hand may say how far it is.
    return seconds_left(running.lines[-1]) if running and running.lines else None


def _spent(run: Run, running: StageState, finished: Sequence[str]) -> float:
    """Seconds for which a running stage has worked on its present unit."""
    if running.started is None or running.seconds is None:
        return 0.0
    ends = [
        datetime.fromisoformat(read_record(run.stage_manifest(name))["finished"])
        for name in finished
    ]
    began = max([running.started, *ends])
    now = running.started + timedelta(seconds=running.seconds)
    return (now - began).total_seconds()


def _rate(run: Run, units: Sequence[str]) -> float | None:
    """Mean seconds of the finished ones of these units. None without one."""
    records = [run.stage_manifest(name) for name in units]
    known = [float(read_record(path)["seconds"]) for path in records if path.exists()]
    return fmean(known) if known else None


def _rate_of_another_run(run: Run, plan: Plan, units: Sequence[str]) -> float | None:
    for other in others(run, plan):
        if rate := _rate(other, units):
            return rate
    return None


def _in_another_run(run: Run, plan: Plan, notebook: str) -> float | None:
    """Seconds that a notebook took in the last run of the same profile that finished it."""
    for other in others(run, plan):
        path = other.dir / "notebooks" / f"{notebook}.ipynb"
        if path.exists():
            times = read_json(path)["metadata"].get("papermill") or {}
            if times.get("duration") and not times.get("exception"):
                return float(times["duration"])
    return None


def others(run: Run, plan: Plan) -> list[Run]:
    """Other runs of the same profile, the latest first."""
    manifests = sorted(
        runs_root().glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    others = [path for path in manifests if path.parent.name != run.name]
    wanted = plan.experiment.profile.profile
    return [Run(path.parent.name) for path in others if _profile_of(path) == wanted]


def _profile_of(manifest: Path) -> str | None:
    """The profile of another run; None if its manifest is damaged, which is not this run's care."""
    try:
        return (read_record(manifest).get("profile") or {}).get("profile")
    except RecordError:
        return None
