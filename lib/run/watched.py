"""Run a command to its end, or end all of it at a signal.

When Snakemake gets a signal to stop, it first finishes its running jobs, and a notebook's kernel is
in another session. So a signal to this process ends every process below it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import IO

import psutil

from lib.run.log import Log
from lib.run.paths import ROOT

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 10  # seconds for a process to end by itself
NOISE = ("IPKernelApp", "Using profile params/cluster")  # in lines of Snakemake that are of no use


class Stopped(Exception):
    """A signal that asks to stop."""


def watched(command: list[str], held: int, log: Log) -> int:
    """Run a command to its end and return its exit code.

    A signal meanwhile ends the command with all its descendants.

    Args:
        log: gets every line that the command prints.
        held: a file descriptor that the command keeps open too, so that the lock outlives this
            process if it is killed.
    """
    # A signal that is ignored already, as SIGHUP under nohup, stays ignored.
    heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _stop)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},  # a line is in the log when it is printed
        text=True,
        errors="replace",
        process_group=0,
        pass_fds=[held],
    )
    readers = [
        threading.Thread(target=_pass_on, args=[given, shown_on, log], daemon=True)
        for given, shown_on in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        return process.wait()
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt `_end`
        _end(process.pid)
        for reader in readers:
            reader.join(GRACE)


def _stop(number: int, _frame: FrameType | None) -> None:
    """Raise Stopped in place of a signal."""
    raise Stopped(number)


def _end(pid: int) -> None:
    """End a process and all that it started."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for kill in (psutil.Process.terminate, psutil.Process.kill):
        for process in family:
            with suppress(psutil.NoSuchProcess):
                kill(process)
        _, family = psutil.wait_procs(family, timeout=GRACE)


def _pass_on(printed: IO[str], to: IO[str], log: Log) -> None:
    """Print and log Snakemake's lines without NOISE.

    If nobody reads what is printed any more, the log continues, and Snakemake is not held up.
    """
    for line in printed:
        if not any(noise in line for noise in NOISE):
            log.write(line)
            with suppress(OSError):
                print(line, end="", file=to, flush=True)
