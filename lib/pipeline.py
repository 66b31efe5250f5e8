"""`make report`: check what make was given, then run Snakemake as one unit that stops as a whole.

`make em_set` and `make ladder` run in the same way, so that they hold the lock, write the log, and
`make status` knows of them. When Snakemake gets a signal to stop, it first finishes its running
jobs, and a notebook's kernel is in another session. So a signal to this process ends every process
below it. The lock is released after that.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from lib.config import arguments, params
from lib.config.arguments import ParamsError
from lib.run import dose, runs
from lib.run.log import Log, begins, ends
from lib.run.paths import shown
from lib.run.runs import LOCK

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 10  # seconds for a process to end by itself
NOISE = "IPKernelApp"  # in lines of Snakemake's stderr that are of no use
BUILDERS = {"em_set": ("-m", "lib.em_sets"), "ladder": ("-m", "lib.ladder")}
COMMAND = (
    "-m",
    "snakemake",
    "--cores",
    "all",
    "--nolock",
    "--rerun-incomplete",
    "--quiet",
    "rules",
    "progress",
    "host",
    "--rerun-triggers",
    "mtime",
    "input",
    "params",
)


class Stopped(Exception):
    """A signal that asks to stop."""


def main(target: str = "report") -> int:
    """Run a target of make and return its exit code.

    A wrong parameter is one line on stderr, before any work.
    """
    try:
        run = given(target)
        command = [sys.executable, *BUILDERS.get(target, COMMAND)]
        with lock(runs.runs_root(), run) as held:
            code = logged(command, held, runs.Run(run), target)
    except dose.NoDoseError as no_dose:
        return _without_dose(no_dose)
    except (ParamsError, OSError) as error:
        print(f"make {target}: {error}", file=sys.stderr)
        return 2
    if target in BUILDERS:
        return code  # it has said itself what it made, or why it stopped
    if code:
        _show_what_is_finished(runs.Run(run))
        line = (
            "make report stopped; what is finished stays, "
            "and the next make report continues from there"
        )
        print(line, file=sys.stderr)
    else:
        print(f"report: reports/{run}/index.html")
    return code


def _without_dose(no_dose: dose.NoDoseError) -> int:
    """The report of a run whose ladder chose nothing. No arm is trained."""
    from lib.report import no_dose_page

    page = no_dose_page.write(runs.Run(no_dose.run_name), no_dose.record)
    print(f"make report: {no_dose}", file=sys.stderr)
    print(f"report: {shown(page)}")
    return 0


def given(target: str = "report") -> str:
    """The run's name, once everything that make was given is checked. Raises ParamsError."""
    overrides = os.environ.get("OVERRIDES") or "{}"
    profile = params.load_profile(os.environ.get("PROFILE", "demo"), overrides)
    params.load_gates()
    name = arguments.name("RUN", os.environ.get("RUN", profile.profile))
    if target not in BUILDERS:
        dose.with_choice(profile, runs.Run(name))
    return name


def logged(command: list[str], held: int, run: runs.Run, target: str = "report") -> int:
    """Run the command as `watched` does, with the run's log. Returns the exit code."""
    log = Log(run)
    log.write(f"{begins(target)}: profile {os.environ.get('PROFILE', 'demo')}")
    code = 1
    try:
        code = watched(command, held, log)
    except Stopped as stopped:
        code = 128 + stopped.args[0]
    finally:
        log.write(f"{ends(target)}: exit code {code}")
        log.close()
    return code


def _show_what_is_finished(run: runs.Run) -> None:
    """Render the page of an unfinished run. A fault in it must not hide why the run stopped."""
    from lib.report import status_page

    try:
        made = status_page.build(run)
    except Exception as error:
        print(f"make report: no page of what is finished: {error}", file=sys.stderr)
    else:
        print(f"what is finished: {shown(made)}", file=sys.stderr)


@contextmanager
def lock(folder: Path, run_name: str) -> Iterator[int]:
    """Within the block nobody else works on the runs of this folder.

    The lock's file names the run meanwhile. Yields its file descriptor. Raises ParamsError if
    another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParamsError(f"another make is at work in {shown(folder)}; wait for it") from None
        file.truncate(0)
        file.write(run_name)
        file.flush()
        yield file.fileno()


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
        cwd=params.ROOT,
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
        if NOISE not in line:
            log.write(line)
            with suppress(OSError):
                print(line, end="", file=to, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
