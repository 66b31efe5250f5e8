"""List what differs from the pre-registered full-scale plan (docs/protocol.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.config.params import load_profile
from lib.config.schema import Profile
from lib.run.records import read_record
from lib.run.runs import Run

PLAN = "qwen7b"  # the profile of the pre-registered plan
# Keys that name a run or say how it is carried out, and are not part of the science.
NO_DEVIATION = ("profile", "about", "demonstrates_only", "together")


def deviations(
    run: Run, profile: Profile, judge: Mapping[str, Any] | None, elsewhere: bool
) -> list[str]:
    """What differs from the pre-registered full-scale plan, one line each (key: plan → this run).

    Args:
        judge: facts of the judging stage, or None if nothing was judged.
        elsewhere: whether the judgments were made outside this project.
    """
    if elsewhere:
        return ["judgments come from elsewhere; their recipe is not known to this project"]
    plan = _flat(load_profile(PLAN).model_dump())
    here = _flat(profile.model_dump())
    compared = [key for key in {**plan, **here} if key.split(".")[0] not in NO_DEVIATION]
    lines = [
        f"{key}: {plan.get(key)} → {here.get(key)}"
        for key in compared
        if plan.get(key) != here.get(key)
    ]
    if judge and judge["judge"] != plan["judge.model"]:
        lines.append(f"judge: {plan['judge.model']} → {judge['judge']}")
    overrides = read_record(run.manifest)["overrides"] if run.manifest.exists() else None
    if overrides not in (None, {}, "{}"):
        lines.append(f"overrides of the profile: {overrides}")
    return lines


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings, by their dotted key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
