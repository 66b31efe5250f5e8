"""How far each stage of a run is, read from the files that it leaves. Nothing is started for it.

A finished stage has a file in .done/. A notebook that papermill executes is saved after every cell
and twice a minute within a long one, with its times, what it printed, and its error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lib.config.params import ROOT
from lib.run import log
from lib.run.files import read_json
from lib.run.log import Line
from lib.run.plan import PILOT, REPORT, Plan
from lib.run.runs import Run

FINISHED = "finished"
RUNNING = "running"
FAILED = "failed"
STOPPED = "stopped"
WAITING = "waiting"
SHOWN_LINES = 14  # of what a stage printed last
SIGNALS = 128  # an exit code from here on tells of a signal
RAISED = re.compile(r"[\w.]*(Error|Exception): \S")  # a line of Python, not of Snakemake
ANNOUNCED = "stage "  # begins the line with which the Snakefile announces a stage


@dataclass(frozen=True)
class StageState:
    """One stage of a run."""

    name: str

    state: str
    """finished, running, failed, stopped (it began and nothing works on it now) or waiting."""

    started: datetime | None = None
    seconds: float | None = None
    """From its beginning to its end; of one that is running, until now."""

    error: str | None = None
    """Of a failed stage, in one line."""

    lines: Sequence[str] = ()
    """What it printed last; empty for a finished one."""


def read(run: Run, plan: Plan, at_work: bool) -> list[StageState]:
    """Every stage of a run, in order.

    Args:
        at_work: whether `make report` works on the run now.
    """
    logged = log.read(run)
    stopped = _stopped_at_the_pilot(run)
    return [_state(run, plan, name, logged, at_work) for name in plan.stages(stopped)]


def _stopped_at_the_pilot(run: Run) -> bool:
    path = run.dir / "pilot" / "result.json"
    return path.exists() and bool(read_json(path).get("stop"))


def is_done(run: Run, name: str) -> bool:
    """Whether a stage is finished, by the file that Snakemake waits for."""
    if name == PILOT:
        return (run.dir / "pilot" / "result.json").exists()
    if name == REPORT:
        page = ROOT / "reports" / run.name / "index.html"
        newer = page.exists() and run.result.exists()
        return newer and page.stat().st_mtime >= run.result.stat().st_mtime
    return (run.dir / ".done" / name).exists()


def _state(run: Run, plan: Plan, name: str, logged: Sequence[Line], at_work: bool) -> StageState:
    stem = plan.executed(name)
    if stem is None:
        state = _by_the_log(run, name, logged, at_work)
    else:
        state = _by_the_notebook(run, name, stem, at_work)
    fault = None if at_work else _fault(name, logged)
    if fault and state.state in (WAITING, STOPPED):  # such as a kernel that died
        return replace(state, state=FAILED, error=fault)
    return state


def _by_the_notebook(run: Run, name: str, stem: str, at_work: bool) -> StageState:
    """A stage that papermill executes."""
    path = run.dir / "notebooks" / f"{stem}.ipynb"
    notebook = _read_notebook(path) if path.exists() else {}
    times = notebook.get("metadata", {}).get("papermill") or {}
    started = _time(times.get("start_time"))
    if is_done(run, name):
        return StageState(name, FINISHED, started, times.get("duration"))
    if started is None or (times.get("end_time") and not times.get("exception")):
        # Finished once and to be made again, or not begun.
        return StageState(name, WAITING)
    lines, error = _printed(notebook)
    if times.get("exception") or error:
        return StageState(name, FAILED, started, times.get("duration"), error, lines)
    state = RUNNING if at_work else STOPPED
    seconds = _since(started) if at_work else None
    return StageState(name, state, started, seconds, lines=lines)


def _by_the_log(run: Run, name: str, logged: Sequence[Line], at_work: bool) -> StageState:
    """A stage without a notebook: only the log of this attempt knows when it ran."""
    announced = _announced(name, logged)
    started = announced[0].time if announced else None
    if is_done(run, name):
        return StageState(name, FINISHED, started)
    if not announced:
        return StageState(name, WAITING)
    state = RUNNING if at_work else STOPPED
    seconds = _since(started) if at_work else None
    lines = [line.text for line in announced[1:]][-SHOWN_LINES:]
    return StageState(name, state, started, seconds, lines=lines)


def _announced(name: str, logged: Sequence[Line]) -> Sequence[Line]:
    """The log from the line on that announces a stage. Empty if it was not the last one begun."""
    begins = [number for number, line in enumerate(logged) if line.text.startswith(ANNOUNCED)]
    if not begins or not logged[begins[-1]].text.endswith(f": {name}"):
        return []
    return logged[begins[-1] :]


def _fault(name: str, logged: Sequence[Line]) -> str | None:
    """What ended the attempt in this stage. None if it did not end here, or by a signal."""
    texts = [line.text for line in _announced(name, logged)[1:]]
    if not texts or not texts[-1].startswith(log.ends()):
        return None
    code = int(texts.pop().rsplit(" ", 1)[1])
    if not 0 < code < SIGNALS:
        return None
    named = [text for text in texts if RAISED.match(text)]
    return (named or [text for text in texts if text.strip()] or [f"exit code {code}"])[0]


def _printed(notebook: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """The last lines that an executed notebook printed, and the error that ended it."""
    printed: list[str] = []
    error = None
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs") or []:
            if output.get("output_type") == "error":
                error = " ".join(f"{output['ename']}: {output['evalue']}".split())
            elif output.get("output_type") == "stream":
                printed += [row for row in _text(output["text"]).split("\n") if row.strip()]
    return printed[-SHOWN_LINES:], error


def _text(value: str | list[str]) -> str:
    """A text of a notebook's file, which may be cut into lines."""
    return value if isinstance(value, str) else "".join(value)


def _read_notebook(path: Any) -> dict[str, Any]:
    """The file as JSON; empty if papermill is writing it right now."""
    try:
        return read_json(path)
    except ValueError:
        return {}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _since(started: datetime | None) -> float | None:
    """Seconds from a time until now."""
    return (now() - started).total_seconds() if started else None


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)
