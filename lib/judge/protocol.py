"""What every judge provides, as `lib.serving.sampling.Sampler` says what every engine provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]  # (done, total)


class Judge(Protocol):
    """Scores completions without knowing which arm they are from.

    A judge that was fitted on published rows also says on which: `fitted_on`, catalogue name to
    sha256. It is never measured on these (`lib.judge.trust.held_out`).
    """

    name: str
    """Name in the tables; scores under two names are never compared."""

    rubric: str
    """Name and version of what is asked."""

    computes: bool
    """True if the same input always has the same scores; False if each call is a new answer."""

    to_retry: int
    """After `score`: completions that have no score and attempts left."""

    def score(self, rows: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
        """Score every row; same index, one column per field of `Judgment`.

        Args:
            rows: suite, prompt, completion, and `replicate` where judging again is a call of its
                own.

        Raises ValueError for a missing column or prompt, JudgeError if the session has to stop.
        """
        ...
