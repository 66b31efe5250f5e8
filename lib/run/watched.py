"""Run a command to its end, log what it prints, and end it with all that it started.

When Snakemake gets a signal to stop, it first finishes its running jobs, and a notebook's kernel is
in another session. So a signal to this process ends every process below it. The lock is released
after that. Jobs of a cluster are not below it: Snakemake is asked to cancel them first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import IO

import psutil

from lib.run import overdue
from lib.run.log import Log
from lib.run.overdue import Watch
from lib.run.paths import ROOT
from lib.run.secrets import redacted

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CHECK_SECONDS = 10  # between two looks at how long a stage takes
PARENT_DIES = 1  # PR_SET_PDEATHSIG of prctl(2)
GRACE = 10  # seconds for a process to end by itself
CANCELLING = 40  # seconds for Snakemake to cancel the jobs of a cluster
NOISE = ("IPKernelApp", "Using profile params/cluster")  # in lines of Snakemake that are of no use


class Stopped(Exception):
    """A signal that asks to stop."""


def watched(command: list[str], held: int, log: Log, *, cancels: bool = False) -> int:
    """Run a command to its end and return its exit code.

    A signal meanwhile ends the command with all its descendants.

    Args:
        log: gets every line that the command prints.
        held: a file descriptor that the command keeps open too, so that the lock outlives this
            process if it is killed.
        cancels: whether the command has jobs on other hosts, which it cancels on SIGINT.
    """
    watch = Watch(overdue.hours())
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
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
        pass_fds=[held],
    )
    readers = [
        threading.Thread(target=_pass_on, args=[given, shown_on, log, watch], daemon=True)
        for given, shown_on in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(CHECK_SECONDS)
            watch.check()
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt `_end`
        if cancels:
            _cancel(process)
        _end(process.pid)
        for reader in readers:
            reader.join(GRACE)


def end_with_parent() -> None:
    """In the new process: ask the kernel to stop it if this one is killed.

    Snakemake then ends its running jobs and begins no other; the lock is held until then.
    """
    ctypes.CDLL(None).prctl(PARENT_DIES, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for background commands


def _stop(number: int, _frame: FrameType | None) -> None:
    """Raise Stopped in place of a signal."""
    raise Stopped(number)


def _cancel(process: subprocess.Popen) -> None:
    """Interrupt a command that still runs, and give it time to cancel its jobs elsewhere."""
    process.send_signal(signal.SIGINT)  # nothing if it has ended
    with suppress(subprocess.TimeoutExpired):
        process.wait(CANCELLING)


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


def _pass_on(printed: IO[str], to: IO[str], log: Log, watch: Watch) -> None:
    """Print and log Snakemake's lines without NOISE.

    If nobody reads what is printed any more, the log continues, and Snakemake is not held up.
    """
    for line in printed:
        if not any(noise in line for noise in NOISE):
            log.write(line)
            watch.note(line)
            with suppress(OSError):
                print(redacted(line), end="", file=to, flush=True)
