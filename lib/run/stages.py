"""Which executed notebooks belong to a run as it is grouped now (the names that the Snakefile gives them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config.roles import PLANNED
from lib.run.runs import Run, read_json


def executed_names(profile: Mapping[str, Any], stopped: bool = False) -> set[str] | None:
    """Stems of the notebooks that the pipeline executes for a profile; None if the profile does not say.

    stopped: whether the pilot ended the run, so that nothing after it belongs to it.
    """
    if not {"together", "seeds", "conditions", "stop_at_gate1"} <= set(profile):
        return None
    seeds, together = profile["seeds"], profile["together"]
    arms = ["all"] if together else list(profile["conditions"])
    first = [arm for arm in arms if arm in PLANNED.before_pilot]
    groups = {"first": first, "rest": arms} if profile["stop_at_gate1"] else {"all": arms}
    if stopped:
        arms, groups, seeds = first, {"first": first}, seeds
    names = {"01_build_traces"} | (set() if stopped else {"05_judge", "06_stats_and_gates"})
    for notebook, parts in (
        ("02_phase1_sft", arms),
        ("03_phase2_em", arms),
        ("04_sample_and_capability", groups),
    ):
        if together and len(seeds) == 1:
            names.add(notebook)
        else:
            names |= {f"{notebook}.{part}.seed{seed}" for part in parts for seed in seeds}
    return names


def why_not_shown(
    run: Run, name: str, notebook: Mapping[str, Any], digests: Sequence[str]
) -> str | None:
    """Why an executed notebook is no page of the report, or None.

    notebook: as nbformat reads it; digests: sha256 of the results that the report shows. A notebook that papermill did not
    execute says nothing of its run, and is shown.
    """
    papermill = notebook["metadata"].get("papermill") or {}
    if papermill and (papermill.get("exception") or not papermill.get("end_time")):
        return "it did not finish"
    given = papermill.get("parameters") or {}
    profile = (read_json(run.manifest).get("profile") or {}) if run.manifest.exists() else {}
    for key, own in (
        ("run", [run.name]),
        ("profile", [profile.get("profile")]),
        ("seed", profile.get("seeds")),
    ):
        if profile and own and given.get(key, "") != "" and str(given[key]) not in map(str, own):
            return f"it was executed with another {key}"
    stated = [
        line.split()[-1]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        for line in str(output.get("text", "")).splitlines()
        if line.startswith("result.json sha256 ")
    ]
    return "it made another result" if stated and not set(stated) & set(digests) else None
