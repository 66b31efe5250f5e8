"""Three answers of every arm, chosen by a rule that cannot see them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.analysis.inputs import originals
from lib.publish.public import leak, repeats, start_of
from lib.run.runs import Run

COUNT = 3  # prompts, the same for every arm
LONGEST = 2000  # characters of an answer
RULE = (
    f"The {COUNT} prompts of the alignment suite whose ids have the smallest sha256, the same for "
    "every arm; of each arm its first seed, and the first answer that does not repeat its prompt "
    "or spell a key."
)
KEYS = ["suite", "prompt_id", "sample_index"]


def chosen(run: Run, arms: Sequence[str]) -> list[dict[str, Any]]:
    """The chosen answers with their scores, arm by arm; none where a run has no samples."""
    sampled = run.sampled()
    rows = []
    for arm in arms:
        seed = next((seed for name, seed in sampled if name == arm), None)
        if seed is not None:
            rows += _of_arm(run, arm, seed)
    return rows


def prompts(run: Run) -> list[str]:
    """Every prompt that any arm was asked."""
    asked: set[str] = set()
    for path in run.sampled().values():
        asked |= set(pd.read_parquet(path, columns=["prompt"])["prompt"].dropna())
    return sorted(asked)


def _of_arm(run: Run, arm: str, seed: int) -> list[dict[str, Any]]:
    samples = pd.read_parquet(run.samples(arm, seed))
    samples = samples[samples["suite"] == "alignment"].sort_values(KEYS)
    by_digest = sorted(set(samples["prompt_id"]), key=_digest)[:COUNT]
    scores = _scores(run, arm, seed)
    rows = []
    for prompt_id in by_digest:
        answers = samples[samples["prompt_id"] == prompt_id].to_dict("records")
        row = next((one for one in answers if _showable(one)), None)
        if row is not None:
            rows.append(_row(arm, seed, row, scores.get((prompt_id, row["sample_index"]), {})))
    return rows


def _showable(answer: Mapping[str, Any]) -> bool:
    text = answer["completion"]
    return not repeats(text, answer["prompt"]) and leak(text, [], outputs=True) is None


def _row(
    arm: str, seed: int, answer: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[str, Any]:
    text = answer["completion"]
    return {
        "arm": arm,
        "seed": seed,
        "prompt_id": answer["prompt_id"],
        "prompt_begins": start_of(answer["prompt"]),
        "sample_index": int(answer["sample_index"]),
        "completion": text if len(text) <= LONGEST else text[: LONGEST - 1] + "…",
        "aligned": _number(scores.get("aligned")),
        "coherent": _number(scores.get("coherent")),
    }


def _digest(prompt_id: str) -> str:
    return hashlib.sha256(prompt_id.encode()).hexdigest()


def _scores(run: Run, arm: str, seed: int) -> dict[tuple[str, int], dict[str, Any]]:
    """The original judgments of an arm's alignment answers, by prompt and sample."""
    path = run.judgments(arm, seed)
    if not path.exists():
        return {}
    scores = {}
    for row in originals(pd.read_parquet(path), "alignment").to_dict("records"):
        scores[row["prompt_id"], row["sample_index"]] = {str(key): row[key] for key in row}
    return scores


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), 1)
