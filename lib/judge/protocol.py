"""What every judge is, whoever scores: the counterpart of `lib.serving.sampling.Sampler`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pandas as pd

Progress = Callable[[int, int], None]  # (done, total)


class Judge(Protocol):
    """Scores completions without being told which arm they are from.

    A judge that was fitted on published rows also says on which: `fitted_on`, catalogue name to
    sha256. It is never measured on these (`lib.judge.trust.validity`).
    """

    name: str
    """Stands in the tables; scores of two names are never compared."""

    rubric: str
    """Name and version of what is asked."""

    computes: bool
    """Whether the same input always has the same scores, or the judge is asked anew each time."""

    to_retry: int
    """After `score`: completions that have no score and attempts left."""

    def score(self, rows: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
        """One row per row, with its index and a column per field of `Judgment`.

        rows: suite, prompt, completion, and `replicate` where judging again is a call of its own.
        Raises ValueError for a missing column or prompt, JudgeError if the session has to stop.
        """
