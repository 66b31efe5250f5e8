"""`make em_set`: build the EM set of a run.

`python -m lib.em_sets [RUN PROFILE OVERRIDES]`; what is not given comes from the environment.
"""

from __future__ import annotations

import sys

from lib.em_sets import stage
from lib.run.command import named_run
from lib.run.paths import shown


def main(given: list[str]) -> int:
    """Build the set, or keep it. Returns the exit code; an error is one line on stderr."""
    try:
        run, experiment, _ = named_run(given)
        facts = stage.build(run, experiment)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"make em_set: {error}", file=sys.stderr)
        return 2
    print(f"{facts.rows} rows from {facts.questions} questions, and as many of the control:")
    for name in stage.SETS:
        print(f"  {shown(run.em_set(name))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
