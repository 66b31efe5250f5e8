"""Parameters that are valid one by one but cannot work together, found before any work starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from lib.config.schema import Condition, Profile

# The packages of a tracker, where their names are not the tracker's.
TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX")}


def fault(profile: Profile, arms: Mapping[str, Condition]) -> str | None:
    """Why a profile with these arms would fail late, with the remedy. None if no fault is known."""
    return (
        _join(profile, arms)
        or _too_few_rows(profile, arms)
        or _ladder(profile)
        or _em_set(profile, arms)
        or _training_prompts(profile)
        or _engine(profile)
        or _tracker(profile)
    )


def _join(profile: Profile, arms: Mapping[str, Condition]) -> str | None:
    """A joined adapter has Phase 1's configuration, and rsLoRA would scale both parts again.

    See lib/training/stacking.py.
    """
    stacked = [name for name, arm in arms.items() if arm.phase1 and arm.phase2]
    if profile.phase1.rslora and profile.phase2.mode == "stack" and stacked:
        return (
            f"phase1.rslora is true and phase2.mode 'stack': {stacked[0]} could not be joined into "
            "one adapter of scaling 1; set phase1.rslora to false (phase1.alpha then gives the "
            "scaling), or phase2.mode to 'continue'"
        )
    return None


def _too_few_rows(profile: Profile, arms: Mapping[str, Condition]) -> str | None:
    """Less than one effective batch makes no optimizer step."""
    phase1 = profile.phase1.effective_batch
    phase2 = profile.phase2.effective_batch
    if profile.traces.count < phase1 and any(arm.phase1 for arm in arms.values()):
        return (
            f"traces.count is {profile.traces.count}, fewer than one effective batch of Phase 1 "
            f"(phase1.effective_batch {phase1}); raise the one or lower the other"
        )
    if profile.phase2.rows < phase2 and any(arm.phase2 for arm in arms.values()):
        return (
            f"phase2.rows is {profile.phase2.rows}, fewer than one effective batch "
            f"(phase2.effective_batch {phase2}); raise the one or lower the other"
        )
    return None


def _ladder(profile: Profile) -> str | None:
    """The ladder's order is the plan's own dose, then the doses of each set from low to high."""
    ladder = profile.ladder
    if ladder is None:
        return None
    if ladder.seed in profile.seeds:
        return (
            f"ladder.seed is {ladder.seed}, a seed of the run; the dose would be chosen on a model "
            "that is measured, give it another"
        )
    batch = profile.phase2.effective_batch
    first = ladder.rungs[0]
    plan = profile.phase2.model_dump()
    if first.em != profile.data.em or {**plan, **first.changes()} != plan:
        own = {"em": profile.data.em} | {key: plan[key] for key in first.changes()}
        return (
            f"ladder.rungs begins with {first.name!r}, which is not data.em and phase2; the "
            "plan's own set and dose come first: "
            + ", ".join(f"{key} {value}" for key, value in own.items())
        )
    if short := next((rung for rung in ladder.rungs if rung.rows < batch), None):
        return (
            f"ladder.rungs: {short.name!r} has {short.rows} rows, fewer than one effective batch "
            f"(phase2.effective_batch {batch}); raise the one or lower the other"
        )
    last: dict[str, float] = {}
    for rung in ladder.rungs[1:]:
        dose = round(rung.dose(batch), 12)
        if dose < last.get(rung.em, 0.0):
            return (
                f"ladder.rungs: {rung.name!r} comes after a stronger dose of {rung.em!r}; sort the "
                "rungs of a set by optimizer steps × learning rate"
            )
        last[rung.em] = dose
    return None


def _em_set(profile: Profile, arms: Mapping[str, Condition]) -> str | None:
    """Sets that are built for the run need the parameters of their building."""
    own_sets = [profile.data.em]
    own_sets += [rung.em for rung in (profile.ladder.rungs if profile.ladder else [])]
    named = set(own_sets)
    for own_set in own_sets:
        named |= {str(arm.phase2_set(own_set)) for arm in arms.values()}
    built = sorted({"persona_advice", "persona_advice_control"} & named)
    if built and profile.em_set is None:
        return f"{built[0]!r} is built for the run, but em_set is null; say how it is sampled"
    return None


def _training_prompts(profile: Profile) -> str | None:
    """A training prompt belongs to one half, and is not an eval prompt."""
    data = profile.data
    if both := sorted(set(data.harmful_prompts) & set(data.open_prompts)):
        return (
            f"data.harmful_prompts and data.open_prompts both name {both[0]!r}; "
            "a prompt belongs to one half, name it once"
        )
    for key in ("harmful_prompts", "open_prompts"):
        if set(getattr(data, key)) <= set(data.eval_sets):
            return (
                f"data.{key} names only data.eval_sets, so the contamination gate would drop "
                "every prompt; name another set"
            )
    return None


def _engine(profile: Profile) -> str | None:
    """vLLM serves adapters in bfloat16 only."""
    if profile.sampling.engine == "vllm" and profile.model.dtype != "bfloat16":
        return (
            f"sampling.engine 'vllm' serves adapters in bfloat16, model.dtype is "
            f"{profile.model.dtype!r}; set model.dtype to 'bfloat16', or sampling.engine to "
            "'transformers'"
        )
    return None


def _tracker(profile: Profile) -> str | None:
    """A tracker needs its package."""
    tracker = profile.training.report_to
    packages = TRACKERS.get(tracker, (tracker,))
    if tracker != "none" and not any(importlib.util.find_spec(package) for package in packages):
        return (
            f"training.report_to is {tracker!r}, which is not installed; "
            f"pip install {packages[0]}, or set it to 'none'"
        )
    return None
