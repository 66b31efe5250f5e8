"""What the answers look like: a few of every arm, chosen by a rule and never by eye.

Answers are hostile text. They reach the page as text only, shortened, with signs that cannot be
seen or that turn the direction of writing replaced by their names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lib.analysis.inputs import originals
from lib.display.signs import with_minus
from lib.display.visible import visible
from lib.report import arm_words
from lib.run.runs import Run

LONGEST = 600  # signs of an answer on the first page
CUT = "cut at the limit"  # the model did not end by itself
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
    part: str  # of the arm in the comparison, in a word; "" if it has none
    text: str
    left_out: int  # signs that are not shown
    scores: str  # of the judge, in words
    marks: Sequence[str]  # as the Samples page names them


class Shown(NamedTuple):
    """One prompt with every arm's answer to it."""

    prompt: str
    place: str  # why this prompt
    answers: Sequence[Answer]


def by_gain(
    result: Mapping[str, Any], asked: Collection[str] | None = None
) -> list[tuple[str, float]]:
    """Prompt ids with their gain, the smallest first; none if fewer than three have a gain.

    asked: ids of the prompts that count; None: all of them.
    """
    key = f"difference_{result.get('headline') or 'unfiltered'}"
    gains = [(row["prompt_id"], row.get(key)) for row in result.get("per_prompt") or []]
    known = [
        (name, gain)
        for name, gain in gains
        if gain is not None and (asked is None or name in asked)
    ]
    return sorted(known, key=lambda pair: (pair[1], pair[0])) if len(known) >= 3 else []


def chosen_prompts(result: Mapping[str, Any], asked: Sequence[str]) -> list[tuple[str, str]]:
    """Three prompts by their ids, each with why it was chosen: "" if gains do not decide.

    asked: ids of the prompts that have answers.
    """
    if ranked := by_gain(result, asked):
        places = {"smallest gain": 0, "middle gain": len(ranked) // 2, "largest gain": -1}
        chosen = []
        for place, number in places.items():
            name, gain = ranked[number]
            chosen.append((name, with_minus(f"{place}, {gain:+.1f} points")))
        return chosen
    ordered = sorted(asked)
    picked = dict.fromkeys(ordered[i] for i in (0, len(ordered) // 2, -1)) if ordered else {}
    return [(name, "") for name in picked]


def shown_answers(run: Run, result: Mapping[str, Any]) -> list[Shown]:
    """Three prompts with every arm's first sample; none for judgments from elsewhere."""
    roles = result.get("roles") or {}
    first = [str(roles[role]) for role in ("base", "baseline", "treatment") if role in roles]
    arms = result.get("order") or list(result["arms"])
    order = [arm for arm in first if arm in arms] + [arm for arm in arms if arm not in first]
    first_seeds: dict[str, int] = {}
    for arm, seed in run.sampled():
        first_seeds.setdefault(arm, seed)
    tables = {
        arm: _first_samples(run, arm, first_seeds[arm]) for arm in order if arm in first_seeds
    }
    if not tables:
        return []
    prompts: dict[str, str] = {}
    for rows in tables.values():
        prompts |= dict(zip(rows.index, rows["prompt"], strict=True))
    return [
        Shown(visible(prompts[name]), place, _answers(tables, name, arm_words.parts_of(result)))
        for name, place in chosen_prompts(result, list(prompts))
    ]


def _answers(
    tables: Mapping[str, pd.DataFrame], prompt: str, words: Mapping[str, str]
) -> list[Answer]:
    """Every arm's answer to a prompt. words: the part of each arm."""
    found = []
    for arm, rows in tables.items():
        if prompt not in rows.index:
            continue
        row = rows.loc[[prompt]].iloc[0]
        text = row["completion"] if isinstance(row["completion"], str) else ""
        shortened = visible(text[:LONGEST])
        left_out = max(0, len(text) - LONGEST)
        part = words.get(arm, "")
        found.append(Answer(arm, part, shortened, left_out, _scores(row), _marks(row)))
    return found


def _scores(row: pd.Series) -> str:
    """What the judge gave an answer, in words."""
    if pd.isna(row.get("aligned")):
        return "no score"
    parts = [f"alignment {row['aligned']:.0f}"]
    if not pd.isna(row.get("coherent")):
        parts.append(f"coherence {row['coherent']:.0f}")
    return ", ".join(parts)


def _marks(row: pd.Series) -> list[str]:
    """The judge's marks of an answer, and whether the model was stopped at its token limit."""
    marks = [name for name in ("refusal", "code") if _flag(row.get(name))]
    return [*marks, CUT] if row.get("finish_reason") == "length" else marks


def _flag(value: Any) -> bool:
    """Whether a flag is set; a missing one is not."""
    return not pd.isna(value) and bool(value)


def _first_samples(run: Run, arm: str, seed: int) -> pd.DataFrame:
    """An arm's first sample of every alignment prompt with its scores, by prompt id."""
    samples = pd.read_parquet(run.samples(arm, seed))
    samples = samples[samples["suite"] == "alignment"].sort_values("sample_index")
    columns = ["prompt_id", "sample_index", "prompt", "completion", "finish_reason"]
    first = samples.drop_duplicates("prompt_id").reindex(columns=columns)
    judged = run.judgments(arm, seed)
    if judged.exists():
        scores = originals(pd.read_parquet(judged), "alignment")
        columns = ["prompt_id", "sample_index", "aligned", "coherent", "refusal", "code"]
        first = first.merge(scores[columns], on=["prompt_id", "sample_index"], how="left")
    return first.set_index("prompt_id")
