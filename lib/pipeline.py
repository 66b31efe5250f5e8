"""`make report`: check what make was given, then run Snakemake as one unit that stops whole."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.checks import preflight
from lib.config import arguments, params
from lib.config.arguments import ParamsError
from lib.run import altered, dose, overdue, runs
from lib.run.files import sweep
from lib.run.log import BEGINS, ENDS, Log
from lib.run.paths import shown
from lib.run.runs import LOCK
from lib.run.watched import Stopped, watched

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


def main() -> int:
    """Run the pipeline and return its exit code.

    A wrong parameter is one line on stderr, before any work.
    """
    try:
        run = given()
        with lock(runs.runs_root(), run) as held:
            code = made(runs.Run(run), held)
    except dose.NoDoseError as no_dose:
        return _without_dose(no_dose)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"make report: {error}", file=sys.stderr)
        return 2
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


def made(run: runs.Run, held: int) -> int:
    """Run Snakemake on what is not finished, by content. Returns its exit code."""
    profile = os.environ.get("PROFILE", "demo")
    page = params.ROOT / "reports" / run.name / "index.html"
    for folder in (run.dir, params.ROOT / "reports"):
        sweep(folder)
    for line in altered.settle(run, profile, page):
        print(f"make report: {line}", file=sys.stderr)
    altered.remember(run, profile)
    code = logged([sys.executable, *COMMAND], held, run)
    if code == 0:
        altered.shown(run, page)
    return code


def _without_dose(no_dose: dose.NoDoseError) -> int:
    """The report of a run whose ladder chose nothing. No arm is trained."""
    from lib.report import no_dose_page

    page = no_dose_page.write(runs.Run(no_dose.run_name), no_dose.record)
    print(f"make report: {no_dose}", file=sys.stderr)
    print(f"report: {shown(page)}")
    return 0


def given() -> str:
    """The run's name, once everything that make was given is checked. Raises ParamsError."""
    overrides = os.environ.get("OVERRIDES") or "{}"
    profile = params.load_profile(os.environ.get("PROFILE", "demo"), overrides)
    params.load_gates()
    overdue.hours()
    name = arguments.name("RUN", os.environ.get("RUN", profile.profile))
    run = runs.Run(name)
    preflight.check(dose.with_choice(profile, run), run)
    return name


def logged(command: list[str], held: int, run: runs.Run) -> int:
    """Run the command as `watched` does, with the run's log. Returns the exit code."""
    log = Log(run)
    log.write(f"{BEGINS}: profile {os.environ.get('PROFILE', 'demo')}")
    code = 1
    try:
        code = watched(command, held, log)
    except Stopped as stopped:
        code = 128 + stopped.args[0]
    except overdue.OverdueError as error:
        log.write(str(error))
        print(f"make report: {error}", file=sys.stderr)
    finally:
        log.write(f"{ENDS}: exit code {code}")
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
            raise ParamsError(
                f"another make report is at work in {shown(folder)}; wait for it"
            ) from None
        file.truncate(0)
        file.write(run_name)
        file.flush()
        yield file.fileno()


if __name__ == "__main__":
    sys.exit(main())
