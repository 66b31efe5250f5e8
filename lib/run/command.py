"""The run that a make target names: by arguments, or else by the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lib.config import arguments
from lib.config.experiment import Experiment
from lib.run.runs import Run, open_run


def named_run(given: Sequence[str]) -> tuple[Run, Experiment, str]:
    """The opened run, its experiment and its overrides.

    given: RUN, PROFILE and OVERRIDES, or nothing: then the variables of these names are read, and
    what they lack is the demo without overrides. Raises ParamsError, in one line.
    """
    environment = [os.environ.get(name) for name in ("RUN", "PROFILE", "OVERRIDES")]
    run_name, profile_name, overrides = given or environment
    overrides = overrides or "{}"
    experiment = Experiment.load(profile_name or "demo", overrides)
    name = arguments.name("RUN", run_name or experiment.profile.profile)
    return open_run(experiment.profile, name), experiment, overrides
