"""Progress of long cells: a bar for a person at the notebook, plain lines in an executed one."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr

import psutil

SECONDS_BETWEEN_LINES = 15


def interactive() -> bool:
    """False under papermill, nbconvert and tests: nobody watches, and a bar would litter the executed notebook."""
    try:
        from IPython import get_ipython

        if get_ipython() is None:
            return False
        parent = " ".join(psutil.Process(os.getppid()).cmdline())
    except (ImportError, psutil.Error):
        return False
    return not any(word in parent for word in ("papermill", "nbconvert", "pytest", "snakemake"))


def without_bars() -> AbstractContextManager:
    """Keeps a library's bars, drawn on stderr, out of an executed notebook; its failures are exceptions."""
    return nullcontext() if interactive() else redirect_stderr(io.StringIO())


def reporter(label: str, unit: str = "items") -> Callable[[int, int], None]:
    """A callable(done, total) that shows progress: a bar interactively, else at most a line each few seconds."""
    if interactive():
        from tqdm.auto import tqdm

        bar = tqdm(desc=label, unit=unit)

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return show

    started, last = time.time(), [0.0]

    def line(done: int, total: int) -> None:
        now = time.time()
        if now - last[0] >= SECONDS_BETWEEN_LINES or done >= total:
            last[0] = now
            print(f"{label}: {done} of {total} {unit}, {now - started:.0f} s", flush=True)

    return line
