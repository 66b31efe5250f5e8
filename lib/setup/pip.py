"""Run pip, print its progress, and say in one line why it failed.

Standard library only, and old syntax: it runs before anything is installed.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from lib.setup.host import ROOT

SECONDS_BETWEEN_LINES = 10
AGAIN = "run the same make command again, it continues from here"
OPTIONS = [
    "--no-input",
    "--no-compile",
    "--progress-bar",
    "off",
    "--disable-pip-version-check",
]


class InstallError(Exception):
    """The installation cannot continue. One line with the remedy."""


def say(text: str) -> None:
    """Print a line at once, even into a pipe."""
    print(text, flush=True)


def install(venv: Path, jobs: "list[list[str]]", total: "int | None" = None) -> "tuple[bool, str]":
    """Run several `pip install` commands at the same time.

    Args:
        venv: the environment.
        jobs: the arguments of each command.
        total: packages that will be installed, for the progress line; None if not known.

    Returns:
        Whether all commands worked, and their logs as one text.
    """
    start = [str(venv / "bin" / "python"), "-m", "pip", "install", *OPTIONS]
    logs = [venv / f"install.{number}.log" for number in range(len(jobs))]
    running = []
    shown = time.time()
    try:
        for log, job in zip(logs, jobs, strict=True):
            running.append(_start(start + job, log))
        while any(process.poll() is None for process in running):
            time.sleep(0.2)
            if time.time() - shown > SECONDS_BETWEEN_LINES:
                shown = time.time()
                say("  " + progress(logs, venv, total))
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait()
    texts = [_read(log) for log in logs]
    return all(process.returncode == 0 for process in running), "\n".join(texts)


def _start(command: "list[str]", log: Path) -> subprocess.Popen:
    with log.open("wb") as out:
        return subprocess.Popen(command, cwd=str(ROOT), stdout=out, stderr=subprocess.STDOUT)


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def progress(logs: "list[Path]", venv: Path, total: "int | None") -> str:
    """How far pip is, in one line: packages installed, and the last file that it fetched."""
    fetched = []
    for log in logs:
        lines = [line.strip() for line in _read(log).splitlines()]
        fetching = ("Downloading ", "Processing ", "Using cached ")
        fetched += [line for line in lines if line.startswith(fetching)]
    last = "asking the index"
    if fetched:
        last = os.path.basename(fetched[-1].split(" (")[0].split()[-1])
    installed = len(list(site_packages(venv).glob("*.dist-info")))
    of_total = f" of {total}" if total else ""
    return f"{min(installed, total or installed)}{of_total} packages installed; {last}"


def reason(log: str) -> str:
    """The last error in pip's log, without the colours of a terminal."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    errors = [line for line in lines if line.startswith("ERROR:") or "Error" in line.split(":")[0]]
    if errors:
        return errors[-1]
    return lines[-1] if lines else "pip said nothing"


def site_packages(venv: Path) -> Path:
    """The folder of an environment that holds its packages."""
    return venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
