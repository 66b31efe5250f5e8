"""The log of a run: what make printed for it, each line with its time; and one log per stage.


Each line has its time. What `begins` and `ends` say comes from the target itself. The log of a run
grows, so it tells of every attempt.
"""

from __future__ import annotations

import fcntl
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from lib.run.runs import LOCK, Run, runs_root
from lib.run.secrets import redacted

TARGETS = ("report", "em_set", "ladder", "sweep")  # of make, that write a log
STAGE_BEGINS = re.compile(r"stage \d+ of \d+: (\S+)")  # as the Snakefile prints it
TAIL_BYTES = 200_000  # of the end of a log that are read


def begins(target: str = "report") -> str:
    """How the first line of an attempt begins."""
    return f"make {target} begins"


def ends(target: str = "report") -> str:
    """How the last line of an attempt begins; its exit code ends it."""
    return f"make {target} ends"


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
            if stage := STAGE_BEGINS.search(text):
                self._begin(stage.group(1))
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
    first = [number for number, line in enumerate(lines) if target_of([line])]
    return lines[first[-1] :] if first else lines


def target_of(attempt: Sequence[Line]) -> str | None:
    """What an attempt was made for, by its first line. None if that names none."""
    for target in TARGETS:
        if attempt and attempt[0].text.startswith(begins(target)):
            return target
    return None


def exit_code(attempt: Sequence[Line]) -> int | None:
    """How an attempt ended. None if it did not, or was killed."""
    target = target_of(attempt)
    if target is None or not attempt[-1].text.startswith(ends(target)):
        return None
    return int(attempt[-1].text.rsplit(" ", 1)[1])


def is_at_work(run: Run) -> bool:
    """Whether one of TARGETS works on this run now.

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
