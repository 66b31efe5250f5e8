"""Three answers of every arm, chosen by a rule that cannot see them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

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
    return [row for arm in arms for row in _of_arm(run, arm)]


def prompts(run: Run) -> list[str]:
    """Every prompt that any arm was asked."""
    asked: set[str] = set()
    for path in sorted((run.dir / "samples").glob("seed*/*.parquet")):
        asked |= set(pd.read_parquet(path, columns=["prompt"])["prompt"].dropna())
    return sorted(asked)


def _of_arm(run: Run, arm: str) -> list[dict[str, Any]]:
    path = _first_seed(run.dir / "samples", arm)
    if path is None:
        return []
    samples = pd.read_parquet(path)
    samples = samples[samples["suite"] == "alignment"].sort_values(KEYS)
    by_digest = sorted(set(samples["prompt_id"]), key=_digest)[:COUNT]
    scores = _scores(run, arm, path.parent.name)
    rows = []
    for prompt_id in by_digest:
        answers = samples[samples["prompt_id"] == prompt_id].to_dict("records")
        row = next((one for one in answers if _showable(one)), None)
        if row is not None:
            rows.append(_row(arm, path, row, scores.get((prompt_id, row["sample_index"]), {})))
    return rows


def _showable(answer: Mapping[str, Any]) -> bool:
    text = answer["completion"]
    return not repeats(text, answer["prompt"]) and leak(text, [], outputs=True) is None


def _row(
    arm: str, path: Path, answer: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[str, Any]:
    text = answer["completion"]
    return {
        "arm": arm,
        "seed": int(path.parent.name.removeprefix("seed")),
        "prompt_id": answer["prompt_id"],
        "prompt_begins": start_of(answer["prompt"]),
        "sample_index": int(answer["sample_index"]),
        "completion": text if len(text) <= LONGEST else text[: LONGEST - 1] + "…",
        "aligned": _number(scores.get("aligned")),
        "coherent": _number(scores.get("coherent")),
    }


def _first_seed(folder: Path, arm: str) -> Path | None:
    """The samples of an arm's smallest seed."""
    paths = folder.glob(f"seed*/{arm}.parquet")
    return min(paths, key=lambda path: int(path.parent.name.removeprefix("seed")), default=None)


def _digest(prompt_id: str) -> str:
    return hashlib.sha256(prompt_id.encode()).hexdigest()


def _scores(run: Run, arm: str, seed: str) -> dict[tuple[str, int], dict[str, Any]]:
    """The original judgments of an arm's alignment answers, by prompt and sample."""
    path = run.dir / "judgments" / seed / f"{arm}.parquet"
    if not path.exists():
        return {}
    judged = pd.read_parquet(path)
    original = (judged["suite"] == "alignment") & (judged["replicate"] == 0)
    scores = {}
    for row in judged[original & (judged["variant"] == "full")].to_dict("records"):
        scores[row["prompt_id"], row["sample_index"]] = {str(key): row[key] for key in row}
    return scores


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), 1)
