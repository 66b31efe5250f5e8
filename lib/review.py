"""`make review`: import what a person marked on the page, and bring the report up to date.

Reads RUN and FILE from the environment, as make hands them on. FILE counts from CALLED_FROM;
without it, the state of the review is shown. Nothing is kept of a file with a wrong line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.manual_review import agreement, marks
from lib.manual_review.blind_page import NAME
from lib.manual_review.marks import ReviewError
from lib.report import read_result
from lib.run.executed import execute
from lib.run.paths import expanded, shown
from lib.run.records import read_record
from lib.run.runs import Run

STATS = "06_stats_and_gates"


def take(environment: Mapping[str, str]) -> tuple[Run, agreement.State]:
    """The run, and its review with the readings of the file that the environment names.

    Raises ValueError or OSError, in one line.
    """
    run = Run(environment.get("RUN") or "demo")
    state = agreement.state(run)
    if not environment.get("FILE"):
        print(state.line)
        if not state.done:
            print(
                f"open reports/{run.name}/{NAME}, read, save the file, then: "
                f"make review RUN={run.name} FILE=…"
            )
        return run, state
    folder = environment.get("CALLED_FROM") or Path.cwd()
    file = Path(folder, expanded("FILE", environment["FILE"]))
    if not file.is_file():
        raise ReviewError(f"FILE={environment['FILE']} is not a file (looked for {file})")
    readings = marks.load(file, state.sample)
    if not readings:
        raise ReviewError(f"{file.name} holds no answer; mark some on the page and save the file")
    new, replaced = marks.keep(run, state.sample, readings)
    state = agreement.state(run)
    print(f"{new} new, {replaced} changed, {len(readings) - new - replaced} as before")
    print(state.line)
    return run, state


def bring_up_to_date(run: Run, state: agreement.State) -> None:
    """Write the result anew if the review is done and the result does not say so; then the site."""
    from lib.report import site

    if not run.result.exists():
        return
    said = read_result.load(run.result)["beside"]["manual_review_done"]
    if state.done and not said:
        print("notebook 06 again: the review is done")
        manifest = read_record(run.manifest)
        profile = manifest["profile"]
        given = {
            "profile": profile["profile"],
            "seed": profile["seeds"][0],
            "run": run.name,
            "overrides": manifest["overrides"],
        }
        execute(STATS, run.dir / "notebooks" / f"{STATS}.ipynb", given)
    print(f"report: {shown(site.build(run))}")


def main() -> None:
    """The command."""
    try:
        run, state = take(os.environ)
        if os.environ.get("FILE"):
            bring_up_to_date(run, state)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"make review: {error}")


if __name__ == "__main__":
    main()
