"""Progress of long cells: a bar if a person watches, plain lines in an executed notebook."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr

import psutil

SECONDS_BETWEEN_LINES = 15
LINE = re.compile(r".*: (\d+) of (\d+) .*, (\d+) s")  # done, total, seconds, as `reporter` prints


def interactive() -> bool:
    """Whether a person watches. False under papermill, nbconvert and tests."""
    try:
        from IPython import get_ipython

        if get_ipython() is None:
            return False
        parent = " ".join(psutil.Process(os.getppid()).cmdline())
    except (ImportError, psutil.Error):
        return False
    return not any(word in parent for word in ("papermill", "nbconvert", "pytest", "snakemake"))


def without_bars() -> AbstractContextManager:
    """Within the block a library's bars, which are written to stderr, do not reach a notebook."""
    return nullcontext() if interactive() else redirect_stderr(io.StringIO())


def reporter(label: str, unit: str = "items") -> Callable[[int, int], None]:
    """Make a function (done, total) that shows progress: a bar for a person, else lines.

    Lines are at least SECONDS_BETWEEN_LINES apart. `unit` names what is counted.
    """
    if interactive():
        from tqdm.auto import tqdm

        bar = tqdm(desc=label, unit=unit)

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return show

    started = time.monotonic()
    last = started - SECONDS_BETWEEN_LINES  # the first line is shown at once

    def line(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done >= total:
            last = now
            print(f"{label}: {done} of {total} {unit}, {now - started:.0f} s", flush=True)

    return line


def seconds_left(printed: str) -> float | None:
    """What is left of a step, by a line that `reporter` printed. None for any other line."""
    match = LINE.fullmatch(printed.strip())
    done, total, took = map(int, match.groups()) if match else (0, 0, 0)
    return took * (total - done) / done if done else None
