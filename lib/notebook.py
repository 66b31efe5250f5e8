"""The first step of every notebook: check its parameters, load its experiment, open its run.

papermill guesses the types of parameters. So they get their types here before anything uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from IPython.display import HTML, display

from lib.config import arguments
from lib.config.experiment import Experiment
from lib.config.schema import Conditions, Profile
from lib.display import show
from lib.run.dose import with_choice
from lib.run.runs import Run, open_run
from lib.run.secrets import guard_kernel, redacted


@dataclass(frozen=True)
class Notebook:
    """One notebook's experiment, run, seed and arms."""

    experiment: Experiment
    """Profile, conditions and gates, and what follows from them for each arm."""

    run: Run
    """Where the notebook reads and writes."""

    seed: int
    """The training and sampling seed of this execution."""

    arms: list[str]
    """The arms that `condition` names, in the profile's order or as they were given."""

    @property
    def profile(self) -> Profile:
        """The profile with its overrides."""
        return self.experiment.profile

    @property
    def conditions(self) -> Conditions:
        """System texts, openings and arms of params/conditions.yaml."""
        return self.experiment.conditions

    @property
    def gates(self) -> Mapping[str, float]:
        """Thresholds by name, from params/gates.yaml."""
        return self.experiment.gates

    def command(self, notebook: str, arm: str | None = None) -> str:
        """The command that executes another notebook for this run; with an arm, this seed."""
        seed = None if arm is None else self.seed
        return self.run.command(notebook, self.profile, arm=arm, seed=seed)


def start(*, profile: Any, seed: Any, run: Any, overrides: Any, condition: Any = "all") -> Notebook:
    """Set up a notebook from its parameters, exactly as papermill passed them.

    A profile with a ladder gets the dose that the ladder chose.

    Raises ParamsError if a parameter is mistyped, unknown or out of range, or if the ladder chose
    no dose for this profile. Raises ValueError if the run belongs to another profile.
    """
    guard_kernel()
    experiment = Experiment.load(profile, overrides)
    seed = arguments.seed(seed)
    opened = open_run(experiment.profile, run)
    experiment = Experiment.of(with_choice(experiment.profile, opened))
    return Notebook(experiment, opened, seed, experiment.select(condition))


def show_html(html: str) -> None:
    """Show HTML of `lib.display.show` or `lib.training.masking`, which escape every text."""
    display(HTML(redacted(html)))


def show_table(rows: pd.DataFrame, caption: str) -> None:
    """Show a table with its caption. A missing value is a dash."""
    show_html(show.table(rows, caption))
