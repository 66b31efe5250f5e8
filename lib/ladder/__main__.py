"""`make ladder`: choose the EM set and its dose.

`python -m lib.ladder [RUN PROFILE OVERRIDES]`; what is not given comes from the environment.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from lib.config.experiment import Experiment
from lib.config.judges import selecting_judge
from lib.config.params import ROOT
from lib.data import eval_sets
from lib.data.catalogue import built_sets
from lib.judge import load_judge
from lib.ladder.climb import Ladder, params_of
from lib.run.command import named_run
from lib.run.paths import shown
from lib.run.runs import Run


def run_ladder(run: Run, experiment: Experiment) -> dict[str, Any]:
    """Run the ladder, after the profile is checked. Returns the content of chosen.json."""
    profile = experiment.profile
    params_of(profile)
    eval_sets.near_field(profile)
    judge = load_judge(selecting_judge(profile), run.judge_store("ladder"))
    return Ladder(run, experiment, judge).climb()


def build_sets(run: Run, experiment: Experiment, overrides: str) -> int:
    """Build the sets that the rungs name, in another process, which frees its engine's memory.

    Returns the exit code; 0 if there is nothing to build.
    """
    ladder = experiment.profile.ladder
    if ladder is None or not built_sets(sorted({rung.em for rung in ladder.rungs})):
        return 0
    given = [run.name, experiment.profile.profile, overrides]
    return subprocess.run([sys.executable, "-m", "lib.em_sets", *given], cwd=ROOT).returncode


def main(given: list[str]) -> int:
    """Run the ladder. Returns the exit code; an error is one line on stderr."""
    try:
        run, experiment, overrides = named_run(given)
        if code := build_sets(run, experiment, overrides):
            return code
        record = run_ladder(run, experiment)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"make ladder: {error}", file=sys.stderr)
        return 2
    print(f"{record['chosen'] or 'no rung'}: {record['reason']}")
    print(f"table and figure: {shown(run.ladder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
