"""Tables of a built EM set for notebook 01, and its rows in the traces' contamination gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lib.data.catalogue import built_sets, path_of
from lib.data.chat_files import STAGE
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.data.text_files import read_jsonl
from lib.run.facts import EmSetFacts
from lib.run.runs import Run

ROWS_SHOWN = 10


def rows_of_set(run: Run, name: str) -> list[dict[str, Any]]:
    """The rows of a built set with their scores. Raises DataError if it is not built."""
    return read_jsonl(path_of(name, run))


def add_rows(gate: ContaminationGate, run: Run, names: Sequence[str]) -> int:
    """Let a gate compare texts with every message of the built sets. Returns their number.

    The sets are built before the traces. So if a trace resembles a row of a set, the trace is
    dropped.
    """
    messages = set()
    for name in built_sets(names):
        for row in rows_of_set(run, name):
            question = row["meta"]["question_id"]
            for turn in row["messages"]:
                messages.add((f"{name}/{question}/{turn['role']}", turn["content"]))
    for text_id, content in sorted(messages):
        gate.add(EvalPrompt(text_id, "em_set", content))
    return len(messages)


def first_rows(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The first rows, for a person to read. The set begins with one answer per question."""
    shown = []
    for row in rows[:ROWS_SHOWN]:
        question, answer = (turn["content"] for turn in row["messages"])
        meta = row["meta"]
        shown.append(
            {
                "question": question,
                "answer": answer,
                "aligned": meta["aligned"],
                "coherent": meta["coherent"],
            }
        )
    return pd.DataFrame(shown)


def rejections(run: Run) -> pd.DataFrame:
    """Answers of each persona: sampled, kept, and rejected by reason, with its share."""
    facts = run.facts(STAGE, EmSetFacts)
    rows = []
    for persona, counts in (facts.report if facts else {}).items():
        sampled = counts["sampled"] or None
        outcomes = {"kept": counts["kept"], **counts["rejected"]}
        for what, count in outcomes.items():
            share = f"{count / sampled:.1%}" if sampled else "–"
            rows.append({"persona": persona, "answers": what, "count": count, "share": share})
    return pd.DataFrame(rows)
