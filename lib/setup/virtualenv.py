"""The steps that make an environment: the folder, the packages of a lock, and a check by import.

Standard library only, and old syntax: it runs before anything is installed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.setup import pip
from lib.setup.host import ROOT
from lib.setup.pip import InstallError, site_packages

# Imported after the installation, each group in a process of its own, all at once: a first
# import compiles the packages, which takes long.
IMPORTS = (
    "torch, transformers, peft, trl, lm_eval",
    "numpy, pandas, scipy, seaborn, datasets, anthropic, papermill, jupytext, nbconvert, "
    "snakemake, lib.run.runs",
)


def make_venv(venv: Path) -> bool:
    """Make an environment's folder, or keep the existing one if it has this Python.

    Packages that pip left unfinished are removed. Returns whether the folder was kept.
    Raises InstallError.
    """
    kept = _is_of_this_python(venv)
    if not kept:
        _create(venv)
    for package in list(site_packages(venv).glob("*.dist-info")):
        if not (package / "RECORD").exists():  # pip writes RECORD last
            shutil.rmtree(str(package))
    return kept


def _is_of_this_python(venv: Path) -> bool:
    ask = [str(venv / "bin" / "python"), "-c", "import sys, pip; print(sys.version_info[:2])"]
    try:
        answer = subprocess.check_output(ask, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.decode().strip() == str(sys.version_info[:2])


def _create(venv: Path) -> None:
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise InstallError(f"{venv} is not a Python environment; move it away and run make again")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        why = pip.reason(done.stdout.decode("utf-8", "replace"))
        raise InstallError(
            f"{sys.executable} -m venv fails ({why}); install its venv package (on Debian: "
            f"python3.{sys.version_info[1]}-venv), or name another Python: make PYTHON=python3.12"
        )


def install_pins(venv: Path, packages: "list[str]") -> None:
    """Install the pins exactly, then make `lib` importable. Raises InstallError.

    Two pips share the pins, because one pip keeps only one core busy.
    """
    pip.say("packages of the lock")
    with tempfile.TemporaryDirectory() as scratch:
        jobs = []
        for number in range(2):
            part = Path(scratch) / f"part{number}.txt"
            part.write_text("\n".join(packages[number::2]) + "\n")
            jobs.append(["--no-deps", "--requirement", str(part)])
        worked, log = pip.install(venv, jobs, len(packages))
    if not worked:
        raise InstallError(f"not everything was installed: {pip.reason(log)}; {pip.AGAIN}")
    link = site_packages(venv) / "selfcorrect-em.pth"
    link.write_text(f"{ROOT}\n", encoding="utf-8")


def check_imports(venv: Path, extra: "list[str]") -> None:
    """Import what was installed, and the `extra` packages. Raises InstallError if one fails."""
    pip.say("checking that it can be imported")
    running = []
    for names in (*IMPORTS, *extra):
        command = [str(venv / "bin" / "python"), "-W", "ignore", "-c", "import " + names]
        running.append(
            subprocess.Popen(
                command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    texts = [process.communicate()[0].decode("utf-8", "replace") for process in running]
    failed = [text for process, text in zip(running, texts, strict=True) if process.returncode]
    if failed:
        raise InstallError(
            f"installed, but it cannot be imported: {pip.reason(failed[0])}; "
            f"delete the folder {venv.name} and run make again"
        )
