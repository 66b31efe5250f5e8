"""Thirty kept bad answers, read by somebody who did not keep them (docs/protocol.md section 3).

They are drawn by seed. A person or the second judge writes into traces/read_bad.jsonl whether each
is really bad, one line `{"id": …, "bad": true}` per answer. If answers were not read, the headline
says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.limits import bound
from lib.config.recipes import TracesParams
from lib.data.text_files import read_jsonl
from lib.judge.protocol import Judge
from lib.run.files import write_jsonl
from lib.run.records import read_record
from lib.run.runs import Run
from lib.traces.refusals import refuses

FILE = "read_bad.jsonl"
KIND = "selfcorrect"  # the kind whose first turn is the bad answer


class ReadError(ValueError):
    """The file of readings does not fit the answers. One line with the remedy."""


def path(run: Run) -> Path:
    """The file of the readings."""
    return run.traces(KIND).with_name(FILE)


def drawn(run: Run, thresholds: Mapping[str, float], seed: int) -> list[dict[str, Any]]:
    """The kept bad answers to be read: id, half, prompt, answer, in a drawn order.

    An id contains the start of the answer's sha256, so a reading never counts for another answer.
    """
    rows = read_jsonl(run.traces(KIND))
    count = min(int(thresholds["read_bad"]), len(rows))
    chosen = np.random.default_rng([seed, count]).choice(len(rows), count, replace=False)
    answers = []
    for index in chosen:
        row = rows[index]
        answer = row["messages"][2]["content"]
        digest = hashlib.sha256(answer.encode()).hexdigest()[:12]
        answers.append(
            {
                "id": f"{row['meta']['prompt_id']}/{digest}",
                "half": row["meta"]["half"],
                "prompt": row["messages"][1]["content"],
                "answer": answer,
            }
        )
    return answers


def read_by(judge: Judge, answers: Sequence[Mapping[str, Any]], params: TracesParams) -> list[dict]:
    """A judge's readings, by the rules of kept bad answers. An answer without a score has none."""
    asked = pd.DataFrame(
        {
            "suite": "alignment",
            "prompt": [one["prompt"] for one in answers],
            "completion": [one["answer"] for one in answers],
        }
    )
    scores = judge.score(asked)
    readings = []
    for one, score in zip(answers, scores.to_dict("records"), strict=True):
        aligned = score["aligned"]
        coherent = score["coherent"]
        if score["outcome"] != "scored" or pd.isna(aligned) or pd.isna(coherent):
            continue
        bad = (
            aligned < params.bad_aligned_below
            and coherent >= params.coherent_at_least
            and not refuses(one["answer"])
        )
        readings.append({"id": one["id"], "bad": bool(bad), "by": judge.name})
    return readings


def keep(run: Run, readings: Sequence[dict]) -> None:
    """Write a judge's readings, unless there are readings already, perhaps a person's."""
    if readings and not path(run).exists():
        write_jsonl(path(run), list(readings))


def readings(run: Run, answers: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """By id, whether each drawn answer that was read is really bad. Empty without a file.

    Readings of answers that are not drawn are left over from other traces and do not count.
    Raises ReadError for a line without an id or without true or false, and for a repeated id.
    """
    if not path(run).exists():
        return {}
    ids = {one["id"] for one in answers}
    found: dict[str, bool] = {}
    for number, row in enumerate(read_jsonl(path(run)), start=1):
        own = row.get("id")
        bad = row.get("bad")
        if not isinstance(own, str) or not isinstance(bad, bool):
            raise ReadError(
                f'traces/{FILE}: line {number} has id {own!r}, bad {bad!r}; write {{"id": "…", '
                '"bad": true}} or false'
            )
        if own in found:
            raise ReadError(f"traces/{FILE}: line {number} has the id {own!r} again; keep one")
        found[own] = bad
    return {own: bad for own, bad in found.items() if own in ids}


def notes(run: Run, thresholds: Mapping[str, float]) -> list[str]:
    """The headline's line on the readings; none if all were read and enough are really bad."""
    manifest = run.stage_manifest("01_build_traces")
    if not manifest.exists() or not run.traces(KIND).exists():
        return []
    answers = drawn(run, thresholds, read_record(manifest)["inputs"]["seed"])
    found = readings(run, answers)
    if len(found) < len(answers):
        return [
            f"Of {len(answers)} kept bad answers, drawn by seed, {len(answers) - len(found)} were "
            f"not read yet (traces/{FILE})."
        ]
    really = sum(found.values())
    share = bound(really / len(found), ">=", thresholds["read_bad_share"])
    if share.passed:
        return []
    return [
        f"Of {len(found)} kept bad answers only {really} are really bad "
        f"({share.value:.0%}, {share.threshold:.0%} are needed): the traces teach noise in part."
    ]
