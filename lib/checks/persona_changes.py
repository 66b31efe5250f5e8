"""What the persona changes, with intervals: the numbers of the check, for its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from lib.analysis.bootstrap import Resampling
from lib.analysis.limits import Thresholds
from lib.checks import persona
from lib.config.roles import PLANNED
from lib.run.runs import Run

TRACE_PROMPTS = "trace prompts"
EVAL_PROMPTS = "eval prompts"
RESAMPLES = 2000


class Change(NamedTuple):
    """mean(persona) - mean(base) on one set of prompts, by one kind of score."""

    prompts: str
    scores: str  # "filtered" or "unfiltered"
    value: float | None  # points; None: no number
    ci95: Sequence[float] | None  # over prompts


def changes(run: Run, judgments: pd.DataFrame, thresholds: Mapping[str, float]) -> list[Change]:
    """Both kinds of scores on the trace prompts and on the eval prompts, as far as asked.

    Args:
        judgments: of all arms.
        thresholds: params/gates.yaml.
    """
    tables = {EVAL_PROMPTS: judgments}
    if run.persona_answers.exists():
        tables = {TRACE_PROMPTS: pd.read_parquet(run.persona_answers), **tables}
    limits = Thresholds(thresholds)
    resampling = Resampling(RESAMPLES, 0, int(limits["seeds_for_interval"]))
    found = []
    for prompts, table in tables.items():
        if not {PLANNED.base, PLANNED.base_evil} <= set(table["condition"].astype(str)):
            continue
        for scores, fall in persona.differences(table, limits).items():
            ends = fall.ci95(resampling)
            ci95 = [-ends[1], -ends[0]] if ends else None
            value = None if fall.value is None else -fall.value
            found.append(Change(prompts, scores, value, ci95))
    return found
