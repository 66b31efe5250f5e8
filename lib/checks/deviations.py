"""What differs from the pre-registered full-scale plan, so that nobody has to find it (docs/protocol.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping

from lib.config.params import load_profile
from lib.config.schema import Profile
from lib.run.runs import Run, read_json

PLAN = "qwen7b"  # the profile that carries the pre-registered plan


def deviations(run: Run, profile: Profile, judge: dict | None, elsewhere: bool) -> list[str]:
    """What differs from the pre-registered full-scale plan, one line each (key: plan → this run)."""
    if elsewhere:
        return ["judgments come from elsewhere; their recipe is not known to this project"]
    plan, here = _flat(load_profile(PLAN).model_dump()), _flat(profile.model_dump())
    keys = [
        k
        for k in {**plan, **here}
        if k.split(".")[0] not in NO_DEVIATION and plan.get(k) != here.get(k)
    ]
    lines = [f"{key}: {plan.get(key)} → {here.get(key)}" for key in keys]
    if judge and judge["judge"] != plan["judge.model"]:
        lines.append(f"judge: {plan['judge.model']} → {judge['judge']}")
    overrides = read_json(run.manifest)["overrides"] if run.manifest.exists() else None
    if overrides not in (None, {}, "{}"):
        lines.append(f"overrides of the profile: {overrides}")
    return lines


NO_DEVIATION = (
    "profile",
    "about",
    "demonstrates_only",
    "together",
)  # names and ways of running, not of the science


def _flat(tree: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat
