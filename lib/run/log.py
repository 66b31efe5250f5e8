"""The log of a run: what `make report` printed, each line with its time; and one per stage.

A line that begins with BEGINS or ENDS comes from `make report` itself. The log of a run grows, so
it tells of every attempt.
"""

from __future__ import annotations

import fcntl
import re
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from lib.run.runs import LOCK, Run, runs_root
from lib.run.secrets import redacted

BEGINS = "make report begins"
ENDS = "make report ends"
STAGE_BEGINS = re.compile(r"stage \d+ of \d+: (\S+)")  # as the Snakefile prints it
TAIL_BYTES = 200_000  # of the end of a log that are read


class Line(NamedTuple):
    """One line of the log."""

    time: datetime | None  # None for the rest of a line of several
    text: str


class Log:
    """Appends lines. Two threads may write to it."""

    def __init__(self, run: Run | Path) -> None:
        """Open the log of a run, or the file of another log. A missing folder is made."""
        self.path = path(run) if isinstance(run, Run) else run
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file: IO[str] = self.path.open("a", encoding="utf-8", errors="replace")
        self._of_stage: IO[str] | None = None

    def write(self, text: str) -> None:
        """Append one line. A log that cannot be written never stops a run."""
        with self._lock, suppress(OSError, ValueError):
            if begins := STAGE_BEGINS.search(text):
                self._begin(begins.group(1))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            for file in (self._file, self._of_stage):
                if file:
                    file.write(f"{now} {redacted(text).rstrip()}\n")
                    file.flush()

    def _begin(self, stage: str) -> None:
        """From here on, lines go to the stage's own log too."""
        if self._of_stage:
            self._of_stage.close()
        path = self.path.parent / "logs" / f"{Path(stage).name}.log"
        path.parent.mkdir(exist_ok=True)
        self._of_stage = path.open("a", encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._file.close()
            if self._of_stage:
                self._of_stage.close()


def path(run: Run) -> Path:
    """Where the log lies."""
    return run.dir / "pipeline.log"


def path_of_sweep(name: str) -> Path:
    """Where the log of a sweep lies."""
    return runs_root() / ".sweeps" / f"{name}.log"


def read(run: Run) -> list[Line]:
    """The lines of the last attempt, or of the whole log if it names no beginning."""
    file = path(run)
    if not file.exists():
        return []
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
        text = opened.read().decode("utf-8", errors="replace")
    lines = [_line(row) for row in text.split("\n") if row.strip()]
    begins = [number for number, line in enumerate(lines) if line.text.startswith(BEGINS)]
    return lines[begins[-1] :] if begins else lines


def is_at_work(run: Run) -> bool:
    """Whether `make report` works on this run now.

    The lock of all runs is asked for, shared and for a moment only: nothing waits for it. While it
    is held, the name of the present run stands in it, or those of a sweep.
    """
    lock = runs_root() / LOCK
    if not lock.exists():
        return False
    with lock.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holders = file.read().split()
            # None: held by an earlier version of the project.
            return not holders or run.name in holders
    return False


def _line(row: str) -> Line:
    stamp, _, text = row.partition(" ")
    try:
        return Line(datetime.fromisoformat(stamp), text)
    except ValueError:
        return Line(None, row)
