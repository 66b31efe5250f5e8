"""Whose judgments are compared, which two arms, and where their result goes."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.roles import PLANNED
from lib.run.records import read_record
from lib.run.runs import Run

UNFIT = re.compile(r"[/\\{}\0]")  # papermill reads braces in a file's name as parameters


def check_source(run: Run, run_name: str, judgments: str, capability: str) -> None:
    """Check that judgments from elsewhere neither mix with a run's own nor overwrite them.

    Raises ValueError, in one line.
    """
    if capability and not judgments:
        raise ValueError("capability from elsewhere needs its judgments too; give -p judgments DIR")
    if judgments and not run_name:
        raise ValueError("judgments from elsewhere need a run name of their own; give -p run NAME")
    if judgments and run.manifest.exists():
        raise ValueError(
            f"run {run.name!r} has artifacts of its own; "
            "give judgments from elsewhere another -p run NAME"
        )


def check_arms(table: pd.DataFrame, **compared: str) -> None:
    """Check that each role (treatment, baseline) names an arm of its own that has judgments.

    Raises ParamsError, in one line.
    """
    arms = sorted(table["condition"].astype(str).unique())
    for role, arm in compared.items():
        if len(arm) > arguments.LONGEST_NAME or UNFIT.search(arm):
            raise ParamsError(
                f"{role} {arm[:40]!r} cannot be part of a file's name; give the arm a name of at "
                f"most {arguments.LONGEST_NAME} characters, without / \\ {{ }}"
            )
        if arm not in arms:
            raise ParamsError(
                f"{role} {arm!r} has no judgments here; nearest: {closest_name(arm, arms)!r}; "
                f"there are {', '.join(arms)}"
            )
    if len(set(compared.values())) < len(compared):
        both = next(iter(compared.values()))
        raise ParamsError(f"{' and '.join(compared)} are both {both!r}; name two arms")


def other_comparisons(run: Run) -> list[Path]:
    """The results of comparisons that were not planned, in order."""
    return sorted(run.result.parent.glob("*_vs_*/result.json"))


def no_planned_result(run: Run) -> str:
    """Why a run has no result of the planned comparison, and the command that makes it."""
    missing = f"run {run.name!r} has no stats/result.json"
    if others := ", ".join(path.parent.name for path in other_comparisons(run)):
        missing += f", the planned comparison, only {others}"
    if run.manifest.exists():
        profile = (read_record(run.manifest).get("profile") or {}).get("profile", "NAME")
    elif others:  # judged elsewhere
        return (
            f"{missing}; make it with make score JUDGMENTS=DIR RUN={run.name}, without TREATMENT "
            f"and BASELINE, from tables named {' and '.join(PLANNED.compared)}"
        )
    else:
        profile = "NAME"
    return f"{missing}; make it with make report PROFILE={profile} RUN={run.name}"


def target(run: Run, treatment: str, baseline: str, elsewhere: bool) -> Path:
    """Where the result goes: `stats/`, or a folder below it for a comparison that was not planned.

    It does not depend on who judged.
    """
    stats = run.result.parent
    planned = (treatment, baseline) == PLANNED.compared
    return stats if planned else stats / f"{treatment}_vs_{baseline}"
