"""Capability: ARC-Challenge by lm-evaluation-harness, log-probability scoring (docs/protocol.md section 5)."""

from __future__ import annotations

import logging
from pathlib import Path

from lib.data.catalogue import path_of, read_quiz
from lib.run.progress import without_bars

TASK = "arc_challenge"


class CapabilityError(RuntimeError):
    """A capability score that could not be measured; never a skipped or made-up number."""


def task_config(data_file: Path) -> dict:
    """The harness's own ARC-Challenge task on a local file: same prompt, same choices, same metrics.

    The target is the answer key's place among the item's labels, so items labelled 1–4 are scored right.
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
        "metadata": {"version": 1.0},
    }


def evaluate(harness, data_set: str, *, limit: int | None) -> dict:
    """Scores one checkpoint. harness: an lm-evaluation-harness model, as a sampler's `harness` gives it.

    Returns task, n, acc, acc_stderr, acc_norm, acc_norm_stderr and `items` ({id: [acc, acc_norm]}) for paired
    comparison. Raises DataError for a missing or malformed file, CapabilityError when the harness returns no number.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    items = read_quiz(data_set)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with without_bars():
        out = lm_eval.simple_evaluate(
            model=harness,
            tasks=[task_config(path_of(data_set))],
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            task_manager=TaskManager(
                include_defaults=False
            ),  # indexing the harness's own tasks takes seconds
        )
    scores, samples = out["results"][TASK], out["samples"][TASK]
    if lacking := [key for key in ("acc,none", "acc_norm,none") if key not in scores]:
        raise CapabilityError(
            f"{TASK}: the harness returned no {lacking[0]!r}; pin the lm_eval version of the lock"
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
        "acc_stderr": _stderr([s["acc"] for s in samples]),
        "acc_norm": scores["acc_norm,none"],
        "acc_norm_stderr": _stderr([s["acc_norm"] for s in samples]),
        "items": {s["doc"]["id"]: [s["acc"], s["acc_norm"]] for s in samples},
    }


def _stderr(values: list[float]) -> float:
    """Standard error of the mean of n item scores, the harness's definition: sample sd over the root of n."""
    from statistics import stdev

    return stdev(values) / len(values) ** 0.5
