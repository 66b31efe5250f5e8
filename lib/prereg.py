"""Pre-registration: gates, conditions, rubric and eval set are stamped when notebook 01 starts (docs/protocol.md section 8).

A change after the stamp never stops a run and sets no verdict, but the result is then not confirmatory.
"""

from __future__ import annotations

import difflib
import json
from datetime import UTC, datetime

from lib.params import PARAMS_DIR
from lib.prompts import EvalPrompt
from lib.runs import Run, environment, fingerprint, read_json, write_json, write_text
from lib.schema import Profile


def registered(rubric: str, eval_prompts: list[EvalPrompt]) -> dict[str, str]:
    """The texts that are pre-registered, by file name."""
    return {
        "gates.yaml": (PARAMS_DIR / "gates.yaml").read_text(encoding="utf-8"),
        "conditions.yaml": (PARAMS_DIR / "conditions.yaml").read_text(encoding="utf-8"),
        "rubric.txt": rubric,
        "eval_prompts.jsonl": "".join(
            json.dumps(p.__dict__, ensure_ascii=False, sort_keys=True) + "\n" for p in eval_prompts
        ),
    }


def stamp(run: Run, profile: Profile, overrides: dict | str, rubric: str, eval_prompts: list[EvalPrompt]) -> dict:
    """Writes the run's manifest and copies of the registered texts, once; a later start of 01 keeps the first stamp."""
    if run.manifest.exists():
        manifest = read_json(run.manifest)
        if fingerprint(manifest["profile"]) != fingerprint(profile):
            manifest["profile"], manifest["overrides"] = profile.model_dump(mode="json"), overrides
            write_json(run.manifest, manifest)
        return manifest["preregistration"]
    texts = registered(rubric, eval_prompts)
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
    write_json(run.manifest, manifest)
    return manifest["preregistration"]


def changes(run: Run, rubric: str, eval_prompts: list[EvalPrompt]) -> dict[str, str] | None:
    """Unified diffs of the registered texts that changed since the stamp, by name; None when no stamp exists."""
    if not run.manifest.exists():
        return None
    stamped = read_json(run.manifest)["preregistration"]["sha256"]
    changed = {}
    for name, text in registered(rubric, eval_prompts).items():
        if stamped.get(name) != fingerprint(text):
            before = run.dir / "preregistration" / name
            old = before.read_text(encoding="utf-8").splitlines() if before.exists() else []
            changed[name] = "\n".join(difflib.unified_diff(old, text.splitlines(), "stamped", "now", lineterm="", n=1))
    return changed
