"""`make report`, `make sweep`: check what was given, then run Snakemake, which stops as a whole.

Only one of them works in a folder of runs at a time: it holds a lock.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lib.checks import preflight
from lib.config import params
from lib.config.arguments import ParamsError
from lib.planning import clusters
from lib.planning.planned_run import PlannedRun, comparison, named_runs
from lib.run import altered, dose, files, gpus, log, overdue
from lib.run.log import BEGINS, ENDS, Log
from lib.run.paths import shown
from lib.run.runs import LOCK, Run, runs_root
from lib.run.watched import Stopped, watched


def main() -> int:
    """Run the pipeline and return its exit code.

    A wrong parameter is one line on stderr, before any work.
    """
    sweep = os.environ.get("SWEEP")
    target = "make sweep" if sweep else "make report"
    try:
        devices = clusters.gpus_here()
        runs = given(clusters.shares())
        command = snakemake(devices, is_sweep=bool(sweep))
        with lock(runs_root(), " ".join(one.run.name for one in runs)) as held:
            for one in runs:
                settle(one)
            code = logged(command, held, Log(log.path_of_sweep(sweep) if sweep else runs[0].run))
            if code == 0:
                for one in runs:
                    altered.shown(one.run, page_of(one.run))
    except dose.NoDoseError as no_dose:
        return _without_dose(no_dose)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{target}: {error}", file=sys.stderr)
        return 2
    if code:
        for one in runs:
            if not sweep or one.run.manifest.exists():
                _show_what_is_finished(one.run)
        line = (
            f"{target} stopped; what is finished stays, and the next {target} continues from there"
        )
        print(line, file=sys.stderr)
    elif len(runs) > 1:
        print(f"comparison: {comparison(runs)}")
    else:
        print(f"report: reports/{runs[0].run.name}/index.html")
    return code


def settle(one: PlannedRun) -> None:
    """Before Snakemake compares dates: remove flags of a run that its files' content belies."""
    run = one.run
    name = one.profile.profile
    gpus.remember(run, one.plan.gpus)
    for folder in (run.dir, params.ROOT / "reports"):
        files.sweep(folder)
    for line in altered.settle(run, name, page_of(run)):
        print(f"make report: {line}", file=sys.stderr)
    altered.remember(run, name)


def page_of(run: Run) -> Path:
    """The first page of a run's report."""
    return params.ROOT / "reports" / run.name / "index.html"


def _without_dose(no_dose: dose.NoDoseError) -> int:
    """The report of a run whose ladder chose nothing. No arm is trained."""
    from lib.report import no_dose_page

    page = no_dose_page.write(Run(no_dose.run_name), no_dose.record)
    print(f"make report: {no_dose}", file=sys.stderr)
    print(f"report: {shown(page)}")
    return 0


def given(n_gpus: int = 1) -> list[PlannedRun]:
    """The runs to make, once everything that make was given is checked.

    Raises what `preflight.check` raises.
    """
    runs = named_runs(os.environ, n_gpus)
    params.load_gates()
    overdue.hours()
    for one in runs:
        preflight.check(one.profile, one.run)
    return runs


def snakemake(devices: Sequence[str], *, is_sweep: bool) -> list[str]:
    """The command that runs the DAG.

    Args:
        devices: GPUs of this host.
        is_sweep: whether a run that fails leaves the others at work.
    """
    command = [sys.executable, "-m", "snakemake", "--profile", str(shown(clusters.folder()))]
    if is_sweep:
        command.append("--keep-going")
    if len(devices) > 1:
        n_gpus = len(devices)
        command += ["--config", f"gpus={n_gpus}", "--resources", f"gpu={n_gpus}"]
    return command


def logged(command: list[str], held: int, log: Log) -> int:
    """Run the command as `watched` does, with a log. Returns the exit code."""
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


def _show_what_is_finished(run: Run) -> None:
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

    The lock's file names the run meanwhile, or the runs of a sweep. Yields its file descriptor.
    Raises ParamsError if another process holds the lock.
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
