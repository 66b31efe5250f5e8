"""The frozen set of answers that joins judges, and every judge's scores on it.

`items/bridge.jsonl` has the answers, `bridge_scores.json` the scores by judge identity. Both are
part of the project. `python -m lib.judge.trust.bridge add` adds scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.limits import Thresholds
from lib.data.text_files import read_jsonl
from lib.judge.protocol import Judge, Progress
from lib.run.files import write_text

SET = Path(__file__).parents[1] / "items" / "bridge.jsonl"
SCORES = Path(__file__).with_name("bridge_scores.json")
FIELDS = ("id", "prompt_id", "prompt", "answer", "made_by")
MADE_BY = ("model", "sha256", "arm", "elicitation")
SUITE = "alignment"
Scores = dict[str, list[float | None]]  # by id: aligned, coherent; None where the judge gave none


class BridgeError(ValueError):
    """A frozen set or its scores cannot be used. One line that names what is missing."""


def load(thresholds: Mapping[str, float], path: Path = SET) -> pd.DataFrame:
    """The frozen set: id, prompt_id, prompt, answer and arm.

    Raises BridgeError for a missing file or field, a repeated id, or fewer than `bridge_rows_min`
    answers.
    """
    least = int(Thresholds(thresholds)["bridge_rows_min"])
    rows = read_jsonl(path) if path.exists() else []
    if len(rows) < least:
        state = f"has {len(rows)} answers" if path.exists() else "is missing"
        raise BridgeError(
            f"the frozen set {path.name} {state}; it needs {least}, {least - len(rows)} more "
            "(or set validity.bridge to null)"
        )
    for number, row in enumerate(rows, 1):
        missing = [name for name in FIELDS if not row.get(name)]
        made_by = row.get("made_by") or {}
        missing += [f"made_by.{name}" for name in MADE_BY if name not in made_by]
        if missing:
            raise BridgeError(f"{path.name}, line {number}: {', '.join(missing)} is missing")
    table = pd.DataFrame(rows, columns=list(FIELDS))
    if len(repeated := table["id"][table["id"].duplicated()]):
        raise BridgeError(f"{path.name}: id {repeated.iloc[0]!r} occurs twice; give each its own")
    return table.assign(arm=[row["made_by"]["arm"] for row in rows]).drop(columns="made_by")


def digest(table: pd.DataFrame) -> str:
    """sha256 of the set's ids and texts. Scores belong to exactly these answers."""
    texts = table[["id", "prompt", "answer"]].to_numpy().tolist()
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def identity(judge: Judge) -> str:
    """Name and rubric of a judge, and of a fitted judge the sha256 of its heads."""
    card: Mapping[str, Any] = getattr(judge, "card", {})
    heads = card.get("heads_sha256") or card.get("head_sha256")
    return " ".join([judge.name, judge.rubric, *([heads[:12]] if heads else [])])


def stored(table: pd.DataFrame, path: Path = SCORES) -> dict[str, Scores]:
    """Scores of every judge that was run on exactly this set, by identity.

    Scores on another version of the set are left out, because they would show a shift of the set.
    Raises BridgeError if a judge's scores do not cover the set.
    """
    if not path.exists():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    own = digest(table)
    scores = {}
    for name, entry in entries.items():
        if entry["set_sha256"] != own:
            continue
        if set(entry["scores"]) != set(table["id"]):
            raise BridgeError(
                f"{path.name}: the scores of {name!r} do not cover the set; add them again"
            )
        scores[name] = entry["scores"]
    return scores


def score(
    judge: Judge, table: pd.DataFrame, progress: Progress | None = None
) -> tuple[Scores, float | None]:
    """The judge's scores of the set, to one decimal, and their dollars (None: not metered)."""
    asked = table.rename(columns={"answer": "completion"}).assign(suite=SUITE)
    judged = judge.score(asked[["suite", "prompt", "completion"]], progress)
    pairs = judged[["aligned", "coherent"]].to_numpy(float)
    scores = {
        own: [round(float(value), 1) if np.isfinite(value) else None for value in pair]
        for own, pair in zip(table["id"], pairs, strict=True)
    }
    return scores, float(judged["cost_usd"].sum()) if judged["cost_usd"].notna().all() else None


def add(
    judge: Judge, table: pd.DataFrame, path: Path = SCORES, progress: Progress | None = None
) -> Scores:
    """Score the set and add the scores to the file; those of the same judge are replaced."""
    scores, _ = score(judge, table, progress)
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries[identity(judge)] = {
        "name": judge.name,
        "rubric": judge.rubric,
        "set_sha256": digest(table),
        "scores": scores,
    }
    ordered = {name: entries[name] for name in sorted(entries)}
    write_text(path, json.dumps(ordered, indent=None, separators=(",", ":")) + "\n")
    return scores
