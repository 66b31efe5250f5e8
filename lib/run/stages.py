"""Which executed notebooks belong to a run, and why another one is not shown in its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.run.grouping import Grouping
from lib.run.records import read_record
from lib.run.runs import Run


def executed_names(profile: Mapping[str, Any], stopped: bool = False) -> set[str] | None:
    """File stems of the notebooks that the Snakefile executes for a profile.

    Args:
        profile: the profile as a manifest has it.
        stopped: whether the pilot ended the run. Nothing after the pilot belongs to it then.

    Returns:
        The stems, or None if the profile (of an earlier version) lacks a key that decides them.
    """
    grouping = Grouping.of(profile)
    if grouping is None:
        return None
    arms = grouping.first if stopped else grouping.arms
    groups = [name for name in grouping.groups if name != "rest" or not stopped]
    names = {"01_build_traces"}
    if not stopped:
        names |= {"05_judge", "06_stats_and_gates"}
    parts_of = {
        "02_phase1_sft": arms,
        "03_phase2_em": arms,
        "04_sample_and_capability": groups,
    }
    # Several GPUs divide a group into at most as many parts as it has arms (lib/run/plan.py).
    for group in list(groups):
        for number, _ in enumerate(grouping.groups[group], start=1):
            parts_of["04_sample_and_capability"].append(f"{group}-{number}")
    for notebook, parts in parts_of.items():
        for part in parts:
            stages = [f"{notebook}.{part}.seed{seed}" for seed in grouping.seeds]
            names |= set(map(grouping.stem, stages))
    return names


def why_not_shown(
    run: Run, name: str, notebook: Mapping[str, Any], digests: Sequence[str]
) -> str | None:
    """Why an executed notebook is not a page of the report, or None.

    A notebook that papermill did not execute says nothing about its run, and is shown.

    Args:
        run: the run that the report is about.
        name: the notebook's stem.
        notebook: the notebook as nbformat reads it.
        digests: sha256 of the results that the report shows.
    """
    papermill = notebook["metadata"].get("papermill") or {}
    if papermill and (papermill.get("exception") or not papermill.get("end_time")):
        return "it did not finish"
    given = papermill.get("parameters") or {}
    profile = (read_record(run.manifest).get("profile") or {}) if run.manifest.exists() else {}
    own_values = {
        "run": [run.name],
        "profile": [profile.get("profile")],
        "seed": profile.get("seeds"),
    }
    for key, own in own_values.items():
        executed_with = str(given.get(key, ""))
        if profile and own and executed_with and executed_with not in map(str, own):
            return f"it was executed with another {key}"
    printed = _printed_digests(notebook)
    return "it made another result" if printed and not printed & set(digests) else None


def _printed_digests(notebook: Mapping[str, Any]) -> set[str]:
    """The digests of result.json that a notebook printed."""
    printed = set()
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for line in str(output.get("text", "")).splitlines():
                if line.startswith("result.json sha256 "):
                    printed.add(line.split()[-1])
    return printed
