"""The run that a make target names, by arguments or by environment variables."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lib.config import arguments
from lib.config.experiment import Experiment
from lib.run.runs import Run, open_run


def named(given: Sequence[str]) -> tuple[Run, Experiment, str]:
    """The run that a command names; nothing is written.

    Args:
        given: RUN, PROFILE and OVERRIDES. If empty, the environment variables of these names are
            read. Without a profile it is `demo`, and without a run name the profile's name.

    Returns:
        The run, its experiment, and its overrides as JSON text.

    Raises ParamsError.
    """
    environment = [os.environ.get(name) for name in ("RUN", "PROFILE", "OVERRIDES")]
    run_name, profile_name, overrides = given or environment
    overrides = overrides or "{}"
    experiment = Experiment.load("demo" if profile_name is None else profile_name, overrides)
    profile = experiment.profile
    name = arguments.name("RUN", profile.profile if run_name is None else run_name)
    return Run(name), experiment, overrides


def named_run(given: Sequence[str]) -> tuple[Run, Experiment, str]:
    """Open the run that a command names, with the same arguments and results as `named`.

    Raises ParamsError, or ValueError if the run belongs to another profile.
    """
    run, experiment, overrides = named(given)
    return open_run(experiment.profile, run.name), experiment, overrides
