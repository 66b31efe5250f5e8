"""`make score`: judgments made elsewhere through notebook 06 to a report, without a run of this project.

Reads JUDGMENTS, CAPABILITY, RUN, PROFILE, TREATMENT and BASELINE from the environment, as make hands them on; relative
folders count from CALLED_FROM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.analysis import reading
from lib.config.params import ROOT, load_profile
from lib.run.runs import Run, runs_root

USAGE = "make score JUDGMENTS=DIR RUN=name"


def plan(environment: Mapping[str, str]) -> tuple[Run, dict[str, str]]:
    """The run and the parameters of notebook 06. Raises ValueError, in one line, on what cannot be scored."""
    given = {
        name: environment.get(name, "") for name in ("JUDGMENTS", "CAPABILITY", "RUN", "PROFILE")
    }
    for name in ("JUDGMENTS", "RUN"):
        if not given[name].strip():
            raise ValueError(f"{name} is missing; give {USAGE}")
    folders = {
        name.lower(): _folder(name, given[name], environment)
        for name in ("JUDGMENTS", "CAPABILITY")
    }
    run = Run(given["RUN"])
    reading.check_source(run, run.name, folders["judgments"], folders["capability"])
    profile = load_profile(given["PROFILE"] or "demo")
    treatment, baseline = (
        environment.get(name) or arm
        for name, arm in zip(("TREATMENT", "BASELINE"), reading.PLANNED, strict=True)
    )
    table = reading.read_judgments(
        folders["judgments"]
    )  # what is wrong with a table is said before a kernel starts
    reading.read_capability(folders["capability"])
    if (treatment, baseline) != reading.PLANNED:
        reading.check_arms(table, treatment=treatment, baseline=baseline)
    return run, {
        **folders,
        "run": run.name,
        "profile": profile.profile,
        "treatment": treatment,
        "baseline": baseline,
    }


def _folder(name: str, given: str, environment: Mapping[str, str]) -> str:
    """An absolute folder; empty where none was given."""
    if not given:
        return ""
    path = Path(environment.get("CALLED_FROM") or Path.cwd(), Path(given).expanduser()).resolve()
    if not path.is_dir():
        raise ValueError(
            f"{name}={given} is not a folder (looked for {path}); give the folder that holds seed<k>/"
        )
    return str(path)


def main() -> None:
    try:
        run, parameters = plan(os.environ)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    import papermill  # after what may be refused, since both take seconds

    from lib.report import site

    try:
        planned = (parameters["treatment"], parameters["baseline"]) == reading.PLANNED
        name = "06_stats_and_gates" + (
            "" if planned else f".{parameters['treatment']}_vs_{parameters['baseline']}"
        )
        executed = run.dir / "notebooks" / f"{name}.ipynb"
        executed.parent.mkdir(parents=True, exist_ok=True)
        os.environ["SELFCORRECT_RUNS_DIR"] = str(runs_root())  # the kernel works in another folder
        print(f"scoring {parameters['judgments']} as run {run.name}")
        papermill.execute_notebook(
            str(ROOT / "notebooks" / "06_stats_and_gates.ipynb"),
            str(executed),
            parameters,
            cwd=str(ROOT / "notebooks"),
            progress_bar=False,
        )
        print(f"report: {site.build(run).relative_to(ROOT)}")
    except papermill.PapermillExecutionError as error:
        sys.exit(f"notebook 06 stopped: {error.ename}: {error.evalue}")
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
