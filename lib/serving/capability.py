"""Capability: ARC-Challenge by lm-evaluation-harness, scored by log-probability.

docs/protocol.md section 5.
"""

from __future__ import annotations

import logging
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from lib.data.catalogue import path_of, read_quiz
from lib.run.progress import without_bars

if TYPE_CHECKING:
    from lm_eval.api.model import LM

TASK = "arc_challenge"


class CapabilityError(RuntimeError):
    """A capability score that could not be measured; never a skipped or made-up number."""


def task_config(data_file: Path) -> dict:
    """The harness's own ARC-Challenge task on a local file: same prompt, choices and metrics.

    The target is the answer key's place among the item's labels, so that items labelled 1–4 are
    scored correctly too.
    """
    return {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data_file)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
        "doc_to_choice": "{{choices.text}}",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
        "num_fewshot": 0,
        "metadata": {"version": 1.0},
    }


def evaluate(harness: LM, data_set: str, *, limit: int | None) -> dict:
    """Score one checkpoint on a quiz.

    Args:
        harness: an lm-evaluation-harness model, as a sampler's `harness` gives it.
        data_set: catalogue name of the quiz.
        limit: items that are scored; None = all.

    Returns:
        task, data, n, acc, acc_stderr, acc_norm, acc_norm_stderr, and items
        ({id: [acc, acc_norm]}) for paired comparison.

    Raises:
        DataError: the file is missing or malformed.
        CapabilityError: the harness returned no number, or scored other items.
    """
    from lm_eval.evaluator import evaluate as run_tasks
    from lm_eval.tasks import TaskManager

    items = read_quiz(data_set)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with without_bars():
        # Indexing the harness's own tasks takes seconds. So does its `simple_evaluate`, which calls
        # pip to describe the environment; the run's manifest has that.
        tasks = TaskManager(include_defaults=False).load([task_config(path_of(data_set))])
        out = run_tasks(harness, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
    if out is None or "results" not in out or "samples" not in out:
        raise CapabilityError(
            f"{TASK}: the harness returned no results; pin lm_eval as the lock does"
        )
    scores = out["results"][TASK]
    samples = out["samples"][TASK]
    for key in ("acc,none", "acc_norm,none"):
        if key not in scores:
            raise CapabilityError(
                f"{TASK}: the harness returned no {key!r}; pin the lm_eval version of the lock"
            )
    expected = min(limit or len(items), len(items))
    if len(samples) != expected:
        raise CapabilityError(
            f"{TASK}: {len(samples)} items scored, {expected} expected; check {data_set!r}"
        )
    return {
        "task": TASK,
        "data": data_set,
        "n": len(samples),
        "acc": scores["acc,none"],
        "acc_stderr": _stderr([sample["acc"] for sample in samples]),
        "acc_norm": scores["acc_norm,none"],
        "acc_norm_stderr": _stderr([sample["acc_norm"] for sample in samples]),
        "items": {sample["doc"]["id"]: [sample["acc"], sample["acc_norm"]] for sample in samples},
    }


def _stderr(values: list[float]) -> float:
    """Standard error of the mean of n item scores, as the harness: sample sd / root of n."""
    return stdev(values) / len(values) ** 0.5
