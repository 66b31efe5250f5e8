"""The smoke profile's run as a user starts it, in a folder that SELFCORRECT_RUNS_DIR names.

Its name looks like a number and its folder has a space, because both must stay as they are.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.config.params import ROOT, load_profile

RUN = "1.10"
MOVED = Path(tempfile.gettempdir()) / f"smoke runs {os.getpid()}"  # of this process alone
FOLDER = MOVED / RUN
SITE = ROOT / "reports" / RUN
PROFILE = load_profile("smoke")


def start(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run a Python module to its end, for this run."""
    names = {"SELFCORRECT_RUNS_DIR": str(MOVED), "PROFILE": "smoke", "RUN": RUN}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=os.environ | names,
        capture_output=True,
        text=True,
        check=False,
    )


def make_report() -> subprocess.CompletedProcess:
    """What `make report PROFILE=smoke RUN=1.10` starts."""
    return start("lib.pipeline")


def snakemake() -> subprocess.CompletedProcess:
    """Snakemake alone, which writes no log of its own into the run."""
    return start(
        "snakemake",
        "--cores",
        "all",
        "--nolock",
        "--rerun-incomplete",
        "--quiet",
        "host",
        "--rerun-triggers",
        "mtime",
        "input",
        "params",
    )


def papermill(
    notebook: str, out: Path, cwd: Path = ROOT / "notebooks", **parameters
) -> subprocess.CompletedProcess:
    given = [("-p", key, str(value)) for key, value in parameters.items()]
    arguments = ["--no-progress-bar", notebook, str(out), *itertools.chain(*given)]
    return start("papermill", *arguments, cwd=cwd)
