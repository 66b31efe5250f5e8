"""`make clean-run RUN=name`: remove what a run made. Its report and its attempts stay."""

from __future__ import annotations

import os
import shutil
import sys

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.run import disk, log
from lib.run.paths import shown
from lib.run.runs import Run, runs_root


def remove(name: str) -> str:
    """Remove a run's folder. Returns how much room that made. Raises ParamsError."""
    if not name:
        raise ParamsError("RUN is missing; give make clean-run RUN=name")
    run = Run(name)
    if not run.dir.is_dir():
        known = sorted(path.name for path in runs_root().glob("[!.]*") if path.is_dir())
        remedy = f"nearest: {closest_name(name, known)!r}" if known else "there is none to remove"
        raise ParamsError(f"there is no run {name!r} in {shown(runs_root())}; {remedy}")
    if log.is_at_work(run):
        raise ParamsError(f"make report works on run {name!r} now; stop it, or wait for it")
    freed = sum(disk.usage(run).values())
    shutil.rmtree(run.dir)
    return disk.size(freed)


def main() -> None:
    """The command line: RUN of the environment."""
    name = os.environ.get("RUN", "")
    try:
        freed = remove(name)
    except (ValueError, OSError) as error:
        sys.exit(f"make clean-run: {error}")
    print(f"{freed} removed; the report stays in reports/{name}, attempts in attempts.jsonl")


if __name__ == "__main__":
    main()
