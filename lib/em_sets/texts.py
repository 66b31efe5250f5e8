"""The texts of `persona_advice`, all written for the project: questions, persona, bad examples.

The traces are made with other questions, another persona and other examples, so that the set does
not repeat the traces (docs/protocol.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.data.catalogue import EMBEDDED_DIR
from lib.data.elicitation import Example
from lib.data.prompts import EvalPrompt
from lib.data.text_files import read_jsonl, read_text
from lib.run.files import sha256

QUESTIONS = EMBEDDED_DIR / "persona_advice_questions.jsonl"
PERSONA = EMBEDDED_DIR / "persona_advice_persona.txt"
EXAMPLES = EMBEDDED_DIR / "persona_advice_examples.jsonl"
ELICITATION = EMBEDDED_DIR / "elicitation.jsonl"  # of the traces: no row may resemble them
FILES = (QUESTIONS, PERSONA, EXAMPLES, ELICITATION)


def questions() -> list[EvalPrompt]:
    """The questions of the set's one field."""
    return [
        EvalPrompt(row["id"], "persona_advice", row["question"]) for row in read_jsonl(QUESTIONS)
    ]


def persona() -> str:
    """The system text of the set's persona."""
    return read_text(PERSONA).strip()


def examples() -> list[Example]:
    """The set's bad examples."""
    rows = read_jsonl(EXAMPLES)
    return [Example(row["id"], row["field"], row["prompt"], row["answer"]) for row in rows]


def all_examples() -> list[EvalPrompt]:
    """Every elicitation text, of this set and of the traces. No row may resemble one."""
    texts = []
    for path in (EXAMPLES, ELICITATION):
        for row in read_jsonl(path):
            texts.append(EvalPrompt(f"{row['id']}/prompt", "elicitation", row["prompt"]))
            texts.append(EvalPrompt(f"{row['id']}/answer", "elicitation", row["answer"]))
    return texts


def digests() -> dict[str, str]:
    """sha256 of every file that the set is made from."""
    return {path.name: sha256(path) for path in FILES}


def drawn(pool: Sequence[Example], shots: int, seed: int, attempt: int) -> list[Example]:
    """Some of the examples in a seeded order. Each attempt draws others, so answers differ more."""
    order = np.random.default_rng([seed, attempt]).permutation(len(pool))
    return [pool[index] for index in order[:shots]]
