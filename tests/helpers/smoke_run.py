"""The smoke profile's run as a user starts it: where it lies, Snakemake and papermill."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from lib.config.params import ROOT, load_profile
from lib.run.runs import runs_root

RUN = "pytest-smoke"
FOLDER = runs_root() / RUN
SITE = ROOT / "reports" / RUN
PROFILE = load_profile("smoke")


def snakemake() -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
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
        "--config",
        "profile=smoke",
        f"run={RUN}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def papermill(
    notebook: str, out: Path, cwd: Path = ROOT / "notebooks", **parameters
) -> subprocess.CompletedProcess:
    given = [("-p", key, str(value)) for key, value in parameters.items()]
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        notebook,
        str(out),
        *itertools.chain(*given),
    ]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
