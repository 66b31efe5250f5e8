"""The runs that a command makes: one of a profile, or all of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.config.params import load_profile
from lib.config.schema import Profile
from lib.config.sweeps import load_sweep
from lib.data.catalogue import built_sets
from lib.run.dose import with_choice
from lib.run.paths import shown
from lib.run.plan import Plan, parts
from lib.run.runs import Run

# On a busy machine a kernel takes longer to answer than papermill's minute.
QUIET = ("--no-progress-bar", "--log-level", "ERROR", "--start-timeout", "600")


@dataclass(frozen=True)
class PlannedRun:
    """One run and its stages."""

    run: Run
    overrides: str
    """JSON text."""

    plan: Plan

    @property
    def profile(self) -> Profile:
        """The profile with its overrides and the dose of its ladder."""
        return self.plan.experiment.profile

    @property
    def files(self) -> list[str]:
        """The parameter files that every stage of the run depends on."""
        return ["params/conditions.yaml", "params/data.yaml", f"params/{self.profile.profile}.yaml"]

    def number(self, stage: str) -> tuple[int, int]:
        """A stage's number, from 1, and how many there are."""
        stages = self.plan.stages()
        return stages.index(stage) + 1, len(stages)

    def executed(self, stage: str) -> Path:
        """Where the executed notebook of a stage is written."""
        return shown(self.run.dir) / "notebooks" / f"{self.plan.executed(stage)}.ipynb"

    def papermill(self, stage: str) -> list[str]:
        """What the interpreter is called with to execute the notebook of a stage."""
        notebook, part, seed = parts(stage)
        arms = self.plan.groups.get(part, [part])
        condition = ["-p", "condition", ",".join(arms)] if part else []
        of_seed = seed.removeprefix("seed") or str(self.profile.seeds[0])
        files = [f"notebooks/{notebook}.ipynb", str(self.executed(stage)), "--cwd", "notebooks"]
        names = ["-r", "profile", self.profile.profile, "-r", "run", self.run.name]
        values = [*condition, "-p", "seed", of_seed, "-r", "overrides", self.overrides]
        return ["-m", "papermill", *QUIET, *files, *names, *values]


def planned_run(
    profile_name: str, overrides: str, run_name: str | None, gpus: int = 1
) -> PlannedRun:
    """The run of a profile.

    Args:
        profile_name: stem of a file in params/.
        overrides: JSON text.
        run_name: None: the profile's name.
        gpus: how many GPUs share the work.

    Raises ParamsError, and NoDoseError if the run's ladder chose nothing.
    """
    profile = load_profile(profile_name, overrides)
    run = Run(arguments.name("RUN", profile.profile if run_name is None else run_name))
    experiment = Experiment.of(with_choice(profile, run))
    plan = Plan(experiment, builds=bool(built_sets(experiment.em_sets())), gpus=gpus)
    return PlannedRun(run, overrides, plan)


def runs_of_sweep(name: str, gpus: int = 1) -> list[PlannedRun]:
    """All runs of a sweep, in its order. Raises ParamsError, which names the run."""
    planned = []
    for one in load_sweep(name).runs:
        overrides = json.dumps(one.overrides, ensure_ascii=False)
        try:
            planned.append(planned_run(one.profile, overrides, one.run, gpus))
        except ParamsError as error:
            raise ParamsError(f"params/sweeps/{name}.yaml: run {one.run!r}: {error}") from None
    return planned


def named_runs(given: Mapping[str, str], gpus: int = 1) -> list[PlannedRun]:
    """The runs that a command names.

    Args:
        given: SWEEP, or else PROFILE, RUN and OVERRIDES, as they were typed.
        gpus: how many GPUs share the work.

    Raises ParamsError.
    """
    if given.get("SWEEP"):
        return runs_of_sweep(given["SWEEP"], gpus)
    overrides = given.get("OVERRIDES") or "{}"
    return [planned_run(given.get("PROFILE", "demo"), overrides, given.get("RUN"), gpus)]


def comparison(runs: list[PlannedRun]) -> Path:
    """The page that shows the runs side by side, relative to the project's folder."""
    from lib.report.compare import folder_name

    return Path("reports") / folder_name([one.run.name for one in runs]) / "index.html"
