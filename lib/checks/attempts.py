"""The append-only record of attempts: every run with a treatment result.

Source: docs/protocol.md section 8. A verdict from the fifth attempt on one base does not mean the
same as one from the first, so attempts are part of a result. The record is outside the folders of
the runs, so deleting a run does not delete its attempt.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.checks.preregistration import phase2_sets
from lib.config.schema import Profile
from lib.run.files import explained, fingerprint
from lib.run.records import read_record
from lib.run.runs import Run, runs_root

LADDER = "ladder of"  # how the verdict of a ladder's line begins
SHOWN = ("finished", "run", "profile", "em_sets", "seeds", "judge", "verdict", "delta", "p_value")


def path() -> Path:
    """The record's file, one JSON object per line."""
    return runs_root() / "attempts.jsonl"


def record(
    run: Run,
    profile: Profile,
    *,
    verdict: str,
    delta: float | None,
    p_value: float | None,
    judge: str,
) -> list[dict[str, Any]]:
    """Add a run's result to the record, and return every attempt on the same base.

    A result that is already in the record is not added again; one that changed becomes another
    line. If the base is not known (no record of notebook 01), nothing is added or listed.

    Args:
        run: the run.
        profile: its profile.
        verdict: the name of its verdict.
        delta: effect of the treatment. None: the treatment has no result, and nothing is added.
        p_value: of delta.
        judge: the judge's name.
    """
    base = base_of(run)
    if base is None:
        return []
    attempt = {
        "run": run.name,
        "profile": profile.profile,
        "base": base,
        "em_sets": phase2_sets(profile),
        "phase1": profile.phase1.model_dump(mode="json"),
        "phase2": profile.phase2.model_dump(mode="json"),
        "seeds": list(profile.seeds),
        "judge": judge,
        "verdict": verdict,
        "delta": delta,
        "p_value": p_value,
    }
    attempt["fingerprint"] = fingerprint(attempt)
    known = read()
    recorded = {row["fingerprint"] for row in known}
    if delta is not None and attempt["fingerprint"] not in recorded:
        attempt["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        _append(attempt)
        known.append(attempt)
    return on_base(known, base)


def record_ladder(
    run: Run,
    profile: Profile,
    *,
    base: str,
    judge: str,
    chosen: str | None,
    rungs: Sequence[Mapping[str, Any]],
) -> None:
    """Add a ladder to the record, with every rung that was tried. The same one is added once.

    Args:
        base: digest of the base's weights.
        chosen: the rung that a run will train. None: no rung is good enough.
        rungs: the ladder's table.
    """
    outcome = f"chose {chosen}" if chosen else "em_not_induced"
    attempt = {
        "run": run.name,
        "profile": profile.profile,
        "base": base,
        "em_sets": sorted({rung["em"] for rung in rungs}),
        "seeds": [profile.ladder.seed] if profile.ladder else [],
        "judge": judge,
        "verdict": f"{LADDER} {len(rungs)}: {outcome}",
        "delta": None,
        "p_value": None,
        # Seconds differ between two trainings of the same recipe.
        "rungs": [{k: v for k, v in rung.items() if k != "seconds"} for rung in rungs],
    }
    attempt["fingerprint"] = fingerprint(attempt)
    if attempt["fingerprint"] not in {row["fingerprint"] for row in read()}:
        _append(attempt | {"finished": datetime.now(UTC).isoformat(timespec="seconds")})


def on_base(known: Sequence[Mapping[str, Any]], base: str) -> list[dict[str, Any]]:
    """What is shown of the attempts on one base."""
    return [{key: row.get(key) for key in SHOWN} for row in known if row["base"] == base]


def beside_ladder(run: Run) -> list[dict[str, Any]]:
    """Every attempt on the base of a run's last ladder; none if no ladder of it is recorded."""
    known = read()
    bases = [
        row["base"]
        for row in known
        if row["run"] == run.name and str(row["verdict"]).startswith(LADDER)
    ]
    return on_base(known, bases[-1]) if bases else []


def read() -> list[dict[str, Any]]:
    """Every attempt, oldest first. Raises ValueError that names a damaged line."""
    if not path().exists():
        return []
    attempts = []
    for number, line in enumerate(path().read_text(encoding="utf-8").splitlines(), start=1):
        try:
            attempt = json.loads(line)
            complete = isinstance(attempt, dict) and {"fingerprint", "base"} <= attempt.keys()
        except ValueError:
            complete = False
        if not complete:
            raise ValueError(
                f"{path().name}: line {number} is damaged; mend it from a copy, the record of "
                "attempts is part of every result"
            )
        attempts.append(attempt)
    return attempts


def _append(attempt: Mapping[str, Any]) -> None:
    """Append one line in one write, and wait until it is on disk.

    So a killed process leaves no half line, and the attempt is on disk before the result.
    """
    path().parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(attempt, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"
    handle = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(handle).st_size
    try:
        with explained(path()):
            if os.write(handle, line.encode()) < len(line.encode()):
                raise OSError(errno.ENOSPC, "a part of the line was written")
            os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)  # no half line
        raise
    finally:
        os.close(handle)


def base_of(run: Run) -> str | None:
    """The digest of the base that notebook 01 recorded."""
    manifest = run.dir / "manifests" / "01_build_traces.json"
    return read_record(manifest)["inputs"]["base"] if manifest.exists() else None
