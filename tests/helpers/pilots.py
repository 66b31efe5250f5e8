"""A run whose samples say their own score, and the judge who reads it off them."""

from __future__ import annotations

import pandas as pd
from tables import sample_table

from lib.judge.outcomes import COLUMNS, Judgment
from lib.run.files import write_parquet
from lib.run.runs import Run


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
        texts = sample_table(lambda suite, i, k, level=level: str(level), samples=15)
        write_parquet(made.samples(arm, 42), texts)
    return made
