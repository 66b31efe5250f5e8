"""`make score`: a report on judgments from elsewhere, through notebook 06, without a run.

It reads JUDGMENTS, CAPABILITY, RUN, PROFILE, TREATMENT and BASELINE from the environment, where
make puts them. Relative folders are relative to CALLED_FROM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.analysis import reading, sources
from lib.config.params import ROOT, load_profile
from lib.config.roles import PLANNED
from lib.run.executed import execute
from lib.run.paths import expanded
from lib.run.runs import Run

QUOTED = 250  # characters of a path that an error quotes
USAGE = "make score JUDGMENTS=DIR RUN=name"


def plan(environment: Mapping[str, str]) -> tuple[Run, dict[str, str]]:
    """The run and the parameters of notebook 06.

    Everything is checked here, before a kernel starts. Raises ValueError, in one line, if these
    tables cannot be scored.
    """
    for name in ("JUDGMENTS", "RUN"):
        if not environment.get(name, "").strip():
            raise ValueError(f"{name} is missing; give {USAGE}")
    judgments = _folder("JUDGMENTS", environment)
    capability = _folder("CAPABILITY", environment)
    run = Run(environment["RUN"])
    sources.check_source(run, run.name, judgments, capability)
    profile = load_profile(environment.get("PROFILE") or "demo")
    treatment = environment.get("TREATMENT") or PLANNED.treatment
    baseline = environment.get("BASELINE") or PLANNED.baseline
    table = reading.read_judgments(judgments)
    reading.read_capability(capability)
    if (treatment, baseline) != PLANNED.compared:
        sources.check_arms(table, treatment=treatment, baseline=baseline)
    return run, {
        "judgments": judgments,
        "capability": capability,
        "run": run.name,
        "profile": profile.profile,
        "treatment": treatment,
        "baseline": baseline,
    }


def _folder(name: str, environment: Mapping[str, str]) -> str:
    """The absolute path of a folder that the environment names; empty if it names none."""
    given = environment.get(name, "")
    if not given:
        return ""
    called_from = environment.get("CALLED_FROM") or Path.cwd()
    path = Path(called_from, expanded(name, given))
    if not _is_folder(path):
        raise ValueError(
            f"{name}={given[:QUOTED]} is not a folder (looked for {str(path)[:QUOTED]}); "
            "give the folder that holds seed<k>/"
        )
    return str(path.resolve())


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder. One that no file system takes is not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or with a NUL character
        return False


def main() -> None:
    """The command: execute notebook 06, render the site, print where it is."""
    try:
        run, parameters = plan(os.environ)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    from lib.report import site  # after what may be refused, since it takes seconds

    try:
        compared = (parameters["treatment"], parameters["baseline"])
        name = "06_stats_and_gates"
        if compared != PLANNED.compared:
            name += f".{'_vs_'.join(compared)}"
        print(f"scoring {parameters['judgments']} as run {run.name}")
        execute("06_stats_and_gates", run.dir / "notebooks" / f"{name}.ipynb", parameters)
        print(f"report: {site.build(run).relative_to(ROOT)}")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
