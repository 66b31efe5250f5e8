"""The log of a run: what `make report`, `make em_set` and `make ladder` printed, line by line.

Each line has its time. What `begins` and `ends` say comes from the target itself. The log of a run
grows, so it tells of every attempt.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lib.run.runs import LOCK, Run, runs_root

TARGETS = ("report", "em_set", "ladder")  # of make, that write a log
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

    def __init__(self, run: Run) -> None:
        """Open the log of a run, whose folder is made if it is not there."""
        self.path = path(run)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = self.path.open("a", encoding="utf-8", errors="replace")

    def write(self, text: str) -> None:
        """Append one line. A log that cannot be written never stops a run."""
        with self._lock, suppress(OSError, ValueError):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._file.write(f"{now} {text.rstrip()}\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def path(run: Run) -> Path:
    """Where the log lies."""
    return run.dir / "pipeline.log"


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
    is held, the name of the present run stands in it.
    """
    lock = runs_root() / LOCK
    if not lock.exists():
        return False
    with lock.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip()
            return holder in ("", run.name)  # empty: held by an earlier version of the project
    return False


def _line(row: str) -> Line:
    stamp, _, text = row.partition(" ")
    try:
        return Line(datetime.fromisoformat(stamp), text)
    except ValueError:
        return Line(None, row)
