"""Pre-registration: everything that decides a result is stamped when notebook 01 starts.

Source: docs/protocol.md section 8. A change after the stamp neither stops a run nor decides a
verdict, but the result is then not confirmatory.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lib.config.experiment import Experiment
from lib.config.judges import traces_judge
from lib.config.params import PARAMS_DIR
from lib.config.schema import Profile
from lib.data.catalogue import digest
from lib.data.prompts import EvalPrompt
from lib.judge import rubric_text
from lib.run.dose import choice_file
from lib.run.environment import environment
from lib.run.files import fingerprint, write_text
from lib.run.records import RecordError, read_record, write_record
from lib.run.runs import Run

# Keys that say how a machine runs a profile. They are not stamped and may differ between machines.
MACHINE_KEYS = {
    "about": ...,
    "together": ...,
    "training": ...,
    "sampling": {"engine", "batch", "shard"},
    "capability": {"batch"},
    "judge": {"base_url", "batch", "concurrency", "timeout", "max_cost_usd"},
    "traces": {"judge": {"base_url"}},
}
NOT_STAMPED = "not stamped: an earlier version of the project started this run"


def registered(
    run: Run, profile: Profile, rubric: str, eval_prompts: list[EvalPrompt]
) -> dict[str, str]:
    """The texts that are pre-registered, by file name.

    - gates.yaml, conditions.yaml: as in params/.
    - eval_prompts.jsonl: the union of the eval sets.
    - profile.json: seeds and recipes, without machine keys.
    - em_sets.json: the sha256 of every Phase-2 set.
    - rubric.txt: the judge, with its rubric and the sha256 of its heads.
    - traces_judge.txt: the same of the judge that selects, if it is another one.
    - ladder.json: the ladder's table and choice, if there is a ladder.
    """
    prompt_lines = (
        json.dumps(prompt.__dict__, ensure_ascii=False, sort_keys=True) + "\n"
        for prompt in eval_prompts
    )
    texts = {
        "gates.yaml": (PARAMS_DIR / "gates.yaml").read_text(encoding="utf-8"),
        "conditions.yaml": (PARAMS_DIR / "conditions.yaml").read_text(encoding="utf-8"),
        "rubric.txt": rubric,
        "eval_prompts.jsonl": "".join(prompt_lines),
        "profile.json": _json(profile.model_dump(mode="json", exclude=MACHINE_KEYS)),
        "em_sets.json": _json({name: digest(name, run) for name in phase2_sets(profile)}),
    }
    if profile.traces.judge is not None:
        texts["traces_judge.txt"] = rubric_text(traces_judge(profile))
    if profile.ladder is not None:
        texts["ladder.json"] = choice_file(run).read_text(encoding="utf-8")
    return texts


def phase2_sets(profile: Profile) -> list[str]:
    """Catalogue names of the Phase-2 sets that the profile's arms train on."""
    return Experiment.of(profile).em_sets()


def _json(value: object) -> str:
    """JSON that differs only if the value does: sorted keys, one line per item."""
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def stamp(
    run: Run,
    profile: Profile,
    overrides: dict[str, Any] | str,
    rubric: str,
    eval_prompts: list[EvalPrompt],
) -> dict[str, Any]:
    """Write the run's manifest and copies of the registered texts, once.

    A later start of notebook 01 keeps the first stamp.

    Returns: the stamp, with its time and the sha256 of each text.
    """
    if run.manifest.exists():
        manifest = read_record(run.manifest)
        check_copies(run, manifest["preregistration"]["sha256"])
        if fingerprint(manifest["profile"]) != fingerprint(profile):
            manifest["profile"] = profile.model_dump(mode="json")
            manifest["overrides"] = overrides
            manifest = write_record(run.manifest, manifest)
        return manifest["preregistration"]
    texts = registered(run, profile, rubric, eval_prompts)
    for name, text in texts.items():
        write_text(run.dir / "preregistration" / name, text)
    manifest = {
        "run": run.name,
        "profile": profile.model_dump(mode="json"),
        "overrides": overrides,
        "environment": environment(),
        "preregistration": {
            "stamped": datetime.now(UTC).isoformat(timespec="seconds"),
            "sha256": {name: fingerprint(text) for name, text in texts.items()},
        },
    }
    write_record(run.manifest, manifest)
    return manifest["preregistration"]


def check_copies(run: Run, stamped: Mapping[str, str]) -> None:
    """Raise RecordError if a copy of a registered text is not the text that was stamped."""
    for name, expected in stamped.items():
        copy = run.dir / "preregistration" / name
        if not copy.exists():
            continue
        if fingerprint(copy.read_bytes().decode("utf-8", errors="replace")) != expected:
            raise RecordError(
                f"preregistration/{name} of run {run.name!r} was changed after it was stamped; put "
                "it back from a copy, or start a run of another name"
            )


def changes(
    run: Run, profile: Profile, rubric: str, eval_prompts: list[EvalPrompt]
) -> dict[str, str] | None:
    """Unified diffs of the registered texts that differ from the stamp, by file name.

    Returns None if there is no stamp. A text that is missing in the stamp is listed with the reason
    in its name.
    """
    if not run.manifest.exists():
        return None
    stamped = read_record(run.manifest)["preregistration"]["sha256"]
    check_copies(run, stamped)
    changed = {}
    for name, text in registered(run, profile, rubric, eval_prompts).items():
        if name not in stamped:
            changed[f"{name} ({NOT_STAMPED})"] = text
        elif stamped[name] != fingerprint(text):
            before = run.dir / "preregistration" / name
            old = before.read_text(encoding="utf-8").splitlines() if before.exists() else []
            diff = difflib.unified_diff(old, text.splitlines(), "stamped", "now", lineterm="", n=1)
            changed[name] = "\n".join(diff)
    return changed
