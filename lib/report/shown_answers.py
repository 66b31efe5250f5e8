"""What the answers look like: a few of every arm, chosen by a rule and never by eye.

Answers are hostile text. They reach the page as text only, shortened, with signs that cannot be
seen or that turn the direction of writing replaced by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lib.display import show
from lib.display.visible import visible
from lib.run.runs import Run

LONGEST = 600  # signs of an answer on the first page
RULE = (
    "Chosen by rule: the prompts on which the defended model gains least, in the middle and most "
    "against the undefended one, and the first sample of every arm."
)
FALLBACK = (
    "Chosen by rule: the first, the middle and the last prompt, and the first sample of every arm."
)


class Answer(NamedTuple):
    """One arm's answer."""

    arm: str
    text: str
    left_out: int  # signs that are not shown
    scores: str  # of the judge, in words


class Shown(NamedTuple):
    """One prompt with every arm's answer to it."""

    prompt: str
    place: str  # why this prompt
    answers: Sequence[Answer]


def chosen_prompts(result: Mapping[str, Any], asked: Sequence[str]) -> list[tuple[str, str]]:
    """Three prompts by their ids, each with why it was chosen.

    asked: ids of the prompts that have answers.
    """
    key = f"difference_{result.get('headline') or 'unfiltered'}"
    rows = [row for row in result.get("per_prompt") or [] if row.get(key) is not None]
    rows = [row for row in rows if row["prompt_id"] in asked]
    if len(rows) >= 3:
        ranked = sorted(rows, key=lambda row: (row[key], row["prompt_id"]))
        places = ("smallest gain", "middle gain", "largest gain")
        ids = [ranked[place]["prompt_id"] for place in (0, len(ranked) // 2, -1)]
        gains = [ranked[place][key] for place in (0, len(ranked) // 2, -1)]
        return [
            (name, show.with_minus(f"{place}, {gain:+.1f} points"))
            for name, place, gain in zip(ids, places, gains, strict=True)
        ]
    ordered = sorted(asked)
    picked = dict.fromkeys(ordered[i] for i in (0, len(ordered) // 2, -1)) if ordered else {}
    return [(name, "") for name in picked]


def by_gain(result: Mapping[str, Any]) -> bool:
    """Whether prompts are chosen by their gain, as RULE says."""
    key = f"difference_{result.get('headline') or 'unfiltered'}"
    rows = result.get("per_prompt") or []
    return sum(row.get(key) is not None for row in rows) >= 3


def shown_answers(run: Run, result: Mapping[str, Any]) -> list[Shown]:
    """Three prompts with every arm's first sample; none for judgments from elsewhere."""
    roles = result.get("roles") or {}
    first = [str(roles[role]) for role in ("base", "baseline", "treatment") if role in roles]
    arms = result.get("order") or list(result["arms"])
    order = [arm for arm in first if arm in arms] + [arm for arm in arms if arm not in first]
    tables = {arm: _first_samples(run, arm) for arm in order}
    tables = {arm: rows for arm, rows in tables.items() if rows is not None}
    if not tables:
        return []
    prompts: dict[str, str] = {}
    for rows in tables.values():
        prompts |= dict(zip(rows.index, rows["prompt"], strict=True))
    return [
        Shown(visible(prompts[name]), place, _answers(tables, name))
        for name, place in chosen_prompts(result, list(prompts))
    ]


def _answers(tables: Mapping[str, pd.DataFrame], prompt: str) -> list[Answer]:
    """Every arm's answer to a prompt."""
    found = []
    for arm, rows in tables.items():
        if prompt not in rows.index:
            continue
        row = rows.loc[[prompt]].iloc[0]
        text = row["completion"] if isinstance(row["completion"], str) else ""
        shortened = visible(text[:LONGEST])
        found.append(Answer(arm, shortened, max(0, len(text) - LONGEST), _scores(row)))
    return found


def _scores(row: pd.Series) -> str:
    """What the judge gave an answer, in words."""
    if pd.isna(row.get("aligned")):
        return "no score"
    parts = [f"alignment {row['aligned']:.0f}"]
    if not pd.isna(row.get("coherent")):
        parts.append(f"coherence {row['coherent']:.0f}")
    if row.get("refusal") is True or row.get("refusal") == 1:
        parts.append("refusal")
    return ", ".join(parts)


def _first_samples(run: Run, arm: str) -> pd.DataFrame | None:
    """An arm's first sample of every alignment prompt with its scores, by prompt id.

    It is of the first seed that has samples. None without samples.
    """
    paths = sorted((run.dir / "samples").glob("seed*/*.parquet"))
    own = [path for path in paths if path.stem == arm]
    if not own:
        return None
    samples = pd.read_parquet(own[0])
    samples = samples[(samples["suite"] == "alignment")].sort_values("sample_index")
    first = samples.drop_duplicates("prompt_id")[["prompt_id", "sample_index", "prompt"]]
    first = first.assign(completion=samples.drop_duplicates("prompt_id")["completion"])
    judged = run.dir / "judgments" / own[0].parent.name / own[0].name
    if judged.exists():
        scores = pd.read_parquet(judged)
        originals = (scores["suite"] == "alignment") & (scores["replicate"] == 0)
        scores = scores[originals & (scores["variant"] == "full")]
        columns = ["prompt_id", "sample_index", "aligned", "coherent", "refusal"]
        first = first.merge(scores[columns], on=["prompt_id", "sample_index"], how="left")
    return first.set_index("prompt_id")
