"""`make report`, `make sweep`: check what was given, then run Snakemake, which stops as a whole.

`make em_set` and `make ladder` run in the same way, so that they write the log, and `make status`
knows of them. Only one of these targets works in a folder of runs at a time: it holds a lock.
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
from lib.run.command import named
from lib.run.log import Log, begins, ends
from lib.run.paths import shown
from lib.run.runs import LOCK, Run, runs_root
from lib.run.watched import Stopped, watched

BUILDERS = {"em_set": ("-m", "lib.em_sets"), "ladder": ("-m", "lib.ladder")}


def main(target: str = "report") -> int:
    """Run a target of make and return its exit code.

    A wrong parameter is one line on stderr, before any work.
    """
    sweep = os.environ.get("SWEEP") if target == "report" else None
    target = "sweep" if sweep else target
    try:
        if target in BUILDERS:
            return build(target)
        devices = clusters.gpus_here()
        runs = given(clusters.shares())
        command = snakemake(devices, is_sweep=bool(sweep))
        with lock(runs_root(), " ".join(one.run.name for one in runs)) as held:
            files.sweep(params.ROOT / "reports")
            for one in runs:
                settle(one, target)
            own_log = Log(log.path_of_sweep(sweep) if sweep else runs[0].run)
            code = logged(command, held, own_log, target)
            if code == 0:
                for one in runs:
                    altered.shown(one.run, page_of(one.run))
    except dose.NoDoseError as no_dose:
        return _without_dose(no_dose)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"make {target}: {error}", file=sys.stderr)
        return 2
    if code:
        for one in runs:
            if not sweep or one.run.manifest.exists():
                _show_what_is_finished(one.run)
        line = (
            f"make {target} stopped; what is finished stays, "
            f"and the next make {target} continues from there"
        )
        print(line, file=sys.stderr)
    elif len(runs) > 1:
        print(f"comparison: {comparison(runs)}")
    else:
        print(f"report: reports/{runs[0].run.name}/index.html")
    return code


def build(target: str) -> int:
    """Run the builder of an EM set or of a ladder, which says itself what it made.

    Returns its exit code. Raises ParamsError.
    """
    run, _, _ = named(())
    overdue.hours()
    with lock(runs_root(), run.name) as held:
        return logged([sys.executable, *BUILDERS[target]], held, Log(run), target)


def settle(one: PlannedRun, target: str) -> None:
    """Before Snakemake compares dates: remove flags of a run that its files' content belies."""
    run = one.run
    name = one.profile.profile
    gpus.remember(run, one.plan.gpus)
    files.sweep(run.dir)
    for line in altered.settle(run, name, page_of(run)):
        print(f"make {target}: {line}", file=sys.stderr)
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

    Raises what `preflight.check` and `clusters.check_controller` raise.
    """
    runs = named_runs(os.environ, n_gpus)
    params.load_gates()
    overdue.hours()
    clusters.check_controller()
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


def logged(command: list[str], held: int, log: Log, target: str = "report") -> int:
    """Run the command as `watched` does, with a log. Returns the exit code."""
    log.write(f"{begins(target)}: profile {os.environ.get('PROFILE', 'demo')}")
    code = 1
    try:
        cancels = target not in BUILDERS and not clusters.is_local()
        code = watched(command, held, log, cancels=cancels)
    except Stopped as stopped:
        code = 128 + stopped.args[0]
    except overdue.OverdueError as error:
        log.write(str(error))
        print(f"make {target}: {error}", file=sys.stderr)
    finally:
        log.write(f"{ends(target)}: exit code {code}")
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
            raise ParamsError(f"another make is at work in {shown(folder)}; wait for it") from None
        file.truncate(0)
        file.write(run_name)
        file.flush()
        yield file.fileno()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
