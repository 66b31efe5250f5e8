"""Notice a stage that hangs: it takes longer than anybody would wait.

papermill waits for ever for a kernel that does not answer. A stage may also be long because it
trains, or waits for a batch of judgments, so the limit is wide.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from lib.config.arguments import ParamsError
from lib.run.log import STAGE_BEGINS

VARIABLE = "STAGE_HOURS"
HOURS = 48.0


class OverdueError(RuntimeError):
    """A stage took too long. One line with its name and the remedy."""


def hours() -> float:
    """Hours that one stage may take. Raises ParamsError."""
    given = os.environ.get(VARIABLE) or str(HOURS)
    try:
        wanted = float(given)
    except ValueError:
        wanted = 0.0
    if not 0 < wanted < float("inf"):
        raise ParamsError(f"{VARIABLE} is {given!r}; give the hours that one stage may take: 48")
    return wanted


class Watch:
    """Knows which stage runs, and since when, from the lines that Snakemake prints."""

    def __init__(self, limit: float, now: Callable[[], float] = time.monotonic) -> None:
        """limit: in hours. now: seconds, by a clock that nobody sets back."""
        self.limit = limit
        self._now = now
        self._stage = "its start"
        self._began = now()

    def note(self, line: str) -> None:
        """Look at a printed line."""
        if begins := STAGE_BEGINS.search(line):
            self._stage = begins.group(1)
            self._began = self._now()

    def check(self) -> None:
        """Raise OverdueError if the stage that runs has had its time."""
        if self._now() - self._began <= self.limit * 3600:
            return
        raise OverdueError(
            f"{self._stage} took longer than {self.limit:g} hours and was stopped; its notebook "
            f"shows the cell that hung; give a stage more time with {VARIABLE}=HOURS, or run make "
            "report again"
        )
