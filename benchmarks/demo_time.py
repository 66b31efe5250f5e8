"""Wall time, start-up share and peak memory of `make report` on the demo profile.

    python benchmarks/demo_time.py

It starts from nothing but the installed .venv. Start-up is what is spent outside the notebooks'
working cells: Snakemake, kernels, imports, and their first cell. Prints one row per stage, then the
totals against the bounds of 15 minutes, one third, and 8 GB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import nbformat
import psutil

from lib.config.params import ROOT
from lib.run.runs import runs_root

RUN = "bench-demo"


def working_seconds(path: Path) -> float:
    """Seconds of an executed notebook's cells after the one that imports."""
    total = 0.0
    imported = False
    for cell in nbformat.read(path, as_version=4).cells:
        timing = cell.metadata.get("papermill", {})
        if cell.cell_type == "code" and timing.get("start_time") and imported:
            began = datetime.fromisoformat(timing["start_time"])
            ended = datetime.fromisoformat(timing["end_time"])
            total += (ended - began).total_seconds()
        imported = imported or "import " in cell.source
    return total


def tree_memory(process: psutil.Process) -> int:
    """Resident bytes of a process and all its children."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total


def main() -> None:
    """Make the demo's report from nothing and print what it took."""
    for folder in (runs_root() / RUN, ROOT / "reports" / RUN):
        shutil.rmtree(folder, ignore_errors=True)
    started = time.time()
    peak = 0
    run = subprocess.Popen(["make", "report", "PROFILE=demo", f"RUN={RUN}"], cwd=ROOT)
    done = threading.Event()
    process = psutil.Process(run.pid)
    while not done.wait(0.5):
        if run.poll() is not None:
            break
        peak = max(peak, tree_memory(process))
    wall = time.time() - started
    if run.returncode:
        raise SystemExit(f"make report failed with exit code {run.returncode}")
    notebooks = sorted((runs_root() / RUN / "notebooks").glob("*.ipynb"))
    work = {notebook.stem: working_seconds(notebook) for notebook in notebooks}
    for name, seconds in work.items():
        print(f"{name:28s} {seconds:7.1f} s")
    startup = wall - sum(work.values())
    print(
        f"cores {os.cpu_count()} · wall {wall / 60:.1f} min (bound 15) · "
        f"start-up {startup:.0f} s, {startup / wall:.0%} (bound 33 %) · "
        f"peak memory {peak / 2**30:.1f} GiB (bound 7.5)"
    )


if __name__ == "__main__":
    main()
