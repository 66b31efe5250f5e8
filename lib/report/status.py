"""`make status RUN=name`: how far a run is, from its files; no server, and nothing is started.

It prints stage, times, what is left, cost and the last lines, and renders the page of a run that
has no report yet.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.config.nearest import closest_name
from lib.config.schema import Profile
from lib.config.validation import validate
from lib.data.catalogue import built_sets
from lib.display import show
from lib.display.visible import visible
from lib.judge.store import dollars, ledger
from lib.report import remaining, stage_states
from lib.report.remaining import Remaining
from lib.report.stage_states import FAILED, FINISHED, RUNNING, STOPPED, StageState
from lib.run import disk, gpus, log
from lib.run.paths import shown
from lib.run.plan import REPORT, Plan
from lib.run.records import read_record
from lib.run.runs import Run, runs_root

SIGNS = {FINISHED: "✓", RUNNING: "▸", FAILED: "✗", STOPPED: "‖"}


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    run: Run
    profile: str | None
    """None if notebook 01 has not begun, so that nothing is known of the run."""

    overrides: str
    at_work: bool
    stages: Sequence[StageState]
    left: Remaining | None
    cost: float | None
    """Dollars so far; None if nothing is metered."""

    logged: Sequence[str]
    """The last lines of the log."""

    target: str = "report"
    """What make was last asked for; `em_set` and `ladder` have no stages of their own."""

    code: int | None = None
    """How that attempt ended; None if it did not."""

    @property
    def current(self) -> StageState | None:
        """The stage that is running, failed or stopped; else the next one; None at the end."""
        return next((state for state in self.stages if state.state != FINISHED), None)

    @property
    def done(self) -> int:
        """How many stages are finished."""
        return sum(state.state == FINISHED for state in self.stages)

    @property
    def title(self) -> str:
        """Where the run is, in a few words."""
        stage = self.current
        if self.target != REPORT:
            ended = f"ended with exit code {self.code}" if self.code else "finished"
            state = "is at work" if self.at_work else "stopped" if self.code is None else ended
            return f"make {self.target} {state}"
        if not self.stages:
            return "begun, no stage yet" if self.at_work else "stopped before its first stage"
        if stage is None:
            return "finished"
        where = f"stage {self.done + 1} of {len(self.stages)}: {stage.name}"
        if stage.state == FAILED:
            return f"failed in {where}"
        return f"running, {where}" if self.at_work else f"stopped at {where}"

    @property
    def elapsed(self) -> float:
        """Seconds of all stages so far."""
        return sum(state.seconds or 0.0 for state in self.stages)

    @property
    def last_lines(self) -> Sequence[str]:
        """What the present stage printed last; of one that printed nothing, the end of the log."""
        if self.target != REPORT:
            return self.logged
        return (self.current.lines if self.current else ()) or self.logged

    @property
    def command(self) -> str:
        """What continues the run."""
        target = self.target if self.code != 0 else REPORT
        given = ["make", target, f"RUN={self.run.name}"]
        if self.profile:
            given.insert(2, f"PROFILE={self.profile}")
        if self.overrides not in ("", "{}"):
            given.append(f"OVERRIDES={self.overrides}")
        return shlex.join(given)


def read(run: Run) -> Status:
    """How far a run is. Raises ParamsError if the run is unknown or its profile is not valid."""
    if not run.dir.exists():
        known = sorted(path.name for path in runs_root().glob("[!.]*") if path.is_dir())
        raise ParamsError(
            f"there is no run {run.name!r} in {shown(runs_root())}; "
            f"nearest: {closest_name(run.name, known)!r}"
        )
    at_work = log.is_at_work(run)
    attempt = log.read(run)
    logged = [line.text for line in attempt][-stage_states.SHOWN_LINES :]
    target = log.target_of(attempt) or REPORT
    manifest = read_record(run.manifest) if run.manifest.exists() else {}
    plan = _plan(run, manifest)
    states = stage_states.read(run, plan, at_work and target == REPORT) if plan else []
    return Status(
        run,
        plan.experiment.profile.profile if plan else None,
        _overrides(manifest),
        at_work,
        states,
        remaining.estimate(run, plan, states) if plan else None,
        dollars(ledger(run.judge_store("session").parent)),
        logged,
        target,
        log.exit_code(attempt),
    )


def _plan(run: Run, manifest: Mapping[str, Any]) -> Plan | None:
    """The stages, by the profile that notebook 01 stamped. None before that."""
    if not manifest.get("profile"):
        return None
    profile = validate(Profile, manifest["profile"], f"{shown(run.manifest)}, profile")
    experiment = Experiment.of(profile)
    builds = bool(built_sets(experiment.em_sets()))
    return Plan(experiment, builds=builds, gpus=gpus.remembered(run))


def _overrides(manifest: Mapping[str, Any]) -> str:
    """The overrides as they are typed."""
    given = manifest.get("overrides") or "{}"
    return given if isinstance(given, str) else json.dumps(given)


def clock(time: datetime | None) -> str:
    """A time of day in UTC; empty for None."""
    return time.strftime("%Y-%m-%d %H:%M UTC") if time else ""


def left_line(status: Status) -> str:
    """What is left, in one line."""
    left = status.left
    if left is None:
        return "unknown"
    if status.current is None:
        return "nothing"
    known = f"about {show.duration(left.seconds)}" if left.seconds else ""
    if not left.unknown:
        return known or "less than a minute"
    missing = f"unknown for {', '.join(left.unknown)} (none has finished in a run of this profile)"
    return f"{known} and what is {missing}" if known else missing


def cost_line(status: Status) -> str:
    """The cost so far, in one line."""
    return "no judge is paid" if status.cost is None else f"{status.cost:.2f} dollars"


def lines(status: Status) -> list[str]:
    """The status as text, without any sign that moves a terminal's cursor."""
    profile = f" · profile {status.profile}" if status.profile else ""
    text = [f"run {status.run.name}{profile} · {status.title}"]
    width = max((len(state.name) for state in status.stages), default=0)
    for state in status.stages:
        sign = SIGNS.get(state.state, " ")
        took = show.duration(state.seconds)
        text.append(f"  {sign} {state.name:<{width}}  {state.state:<8}  {took}".rstrip())
    text.append(f"elapsed: {show.duration(status.elapsed)} in all stages")
    text.append(f"left: {left_line(status)}")
    text.append(f"cost: {cost_line(status)}")
    text.append(f"disk: {disk.line(status.run)}")
    stage = status.current
    if stage and stage.error:
        text.append(f"error: {visible(stage.error)}")
    if (stage or status.target != REPORT) and status.last_lines:
        text += ["last lines:", *(f"  {visible(line)}" for line in status.last_lines)]
    if not status.at_work and (stage or status.target != REPORT):
        text.append(f"to continue: {status.command}")
    return text


def main() -> None:
    """The command line: RUN of the environment."""
    from lib.report import status_page

    try:
        run = Run(os.environ.get("RUN") or "demo")
        status = read(run)
        print("\n".join(lines(status)))
        if any(state.name == REPORT and state.state == FINISHED for state in status.stages):
            print(f"report: reports/{run.name}/index.html")
        else:
            print(f"page: {shown(status_page.build(run))}")
    except (ValueError, OSError) as error:
        sys.exit(f"make status: {error}")


if __name__ == "__main__":
    main()
