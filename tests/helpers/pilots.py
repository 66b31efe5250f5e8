"""A run whose samples say their own score, and the judge who reads it off them."""

from __future__ import annotations

import itertools

import pandas as pd

from lib.judge import COLUMNS, Judgment
from lib.run.runs import Run, write_parquet


class ScriptedJudge:
    """Reads the score off the completion, and remembers what it was shown."""

    name = "scripted"
    rubric = "1"
    shown = 0

    def score(self, rows, progress=None):
        self.shown += len(rows)
        scored = [
            vars(Judgment("scored", aligned=float(text), coherent=90.0))
            for text in rows["completion"]
        ]
        return pd.DataFrame(scored, columns=list(COLUMNS), index=rows.index)


def sampled(**levels) -> Run:
    """A run whose arms have samples that say their own score."""
    made = Run("r")
    for arm, level in levels.items():
        rows = [
            {
                "suite": suite,
                "prompt_id": f"p{p}",
                "subset": "s",
                "prompt": f"Prompt {p}",
                "system": "x",
                "sample_index": k,
                "completion": str(level),
                "n_tokens": 1,
                "finish_reason": "stop",
            }
            for suite, p, k in itertools.product(("alignment", "benign"), range(4), range(15))
        ]
        write_parquet(made.samples(arm, 42), pd.DataFrame(rows))
    return made
