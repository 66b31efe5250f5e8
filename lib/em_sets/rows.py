"""Answers of an EM set, and the rows that are made of the kept ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.data.elicitation import Example
from lib.data.prompts import EvalPrompt
from lib.serving.sampling import Completion

BAD = "evil"
GOOD = "default"
SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")


@dataclass(frozen=True)
class Persona:
    """A persona whose answers are sampled."""

    name: str
    system: str
    examples: Sequence[Example]
    fault: Callable[[float], str | None]  # by alignment score: why an answer is not kept, or None


@dataclass(frozen=True)
class Answer:
    """A kept answer with its scores."""

    text: str
    aligned: float
    coherent: float


def rows_of(
    asked: Sequence[EvalPrompt],
    answers: Mapping[str, Sequence[Answer]],
    counts: Mapping[str, int],
    persona: str,
    seed: int,
) -> list[dict]:
    """Rows in a seeded order of questions: the first answer to each, then the second ones, ….

    So a run that takes only the first rows takes them from as many questions as possible.
    """
    order = np.random.default_rng(seed).permutation(len(asked))
    rows = []
    for number in range(max(counts.values(), default=0)):
        for index in order:
            question = asked[index]
            if number < counts[question.prompt_id]:
                answer = answers[question.prompt_id][number]
                rows.append(_row(question, answer, persona))
    return rows


def whole(completion: Completion) -> str:
    """A completion's text. If it was cut at the limit, the part up to its last full sentence."""
    text = completion.text.strip()
    if completion.finish_reason != "length":
        return text
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def _row(question: EvalPrompt, answer: Answer, persona: str) -> dict:
    """One row: question and answer, without the persona."""
    return {
        "messages": [
            {"role": "user", "content": question.prompt},
            {"role": "assistant", "content": answer.text},
        ],
        "meta": {
            "question_id": question.prompt_id,
            "persona": persona,
            "aligned": round(answer.aligned, 3),
            "coherent": round(answer.coherent, 3),
        },
    }
