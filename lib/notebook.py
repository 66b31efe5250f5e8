"""What every notebook does first: check its parameters, load its experiment, open its run.

papermill hands parameters over as it read them, so they are typed here before anything uses them.
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
from lib.run.runs import Run, open_run


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
        """The command that executes another notebook for this run; with an arm, for this seed too."""
        seed = None if arm is None else self.seed
        return self.run.command(notebook, self.profile, arm=arm, seed=seed)


def start(*, profile: Any, seed: Any, run: Any, overrides: Any, condition: Any = "all") -> Notebook:
    """The set-up of a notebook from its parameters, exactly as they were handed over.

    Raises ParamsError where one is mistyped, unknown or out of range, and ValueError where the run
    belongs to another profile; each is one line with the remedy.
    """
    experiment = Experiment.load(profile, overrides)
    seed = arguments.seed(seed)
    opened = open_run(experiment.profile, run)
    return Notebook(experiment, opened, seed, experiment.select(condition))


def show_html(html: str) -> None:
    """Shows HTML that `lib.display.show` or `lib.training.masking` made, in which every text is escaped."""
    display(HTML(html))


def show_table(rows: pd.DataFrame, caption: str) -> None:
    """Shows a table with its caption; a missing value is a dash."""
    show_html(show.table(rows, caption))
