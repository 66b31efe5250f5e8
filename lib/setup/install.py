"""Makes the environment of a profile. Run by make with the system's Python, before anything is installed.

`venv PROFILE OVERRIDES` prints the environment's folder, `host FOLDER PROFILE OVERRIDES` says what this
machine is missing for it, `install FOLDER` makes it or continues an interrupted installation, and
`folder NAME` prints a variable whose folder can be written.
Standard library only, and old syntax, so that a Python out of range can still say so.
"""

import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.setup.host import (
    MODEL_GB,
    ROOT,
    disk_problem,
    engine,
    free_gb,
    gpu_problems,
    read_gpus,
    this_python_problem,
)

CPU, GPU = ".venv", ".venv-gpu"
LOCKS = {CPU: "requirements.lock", GPU: "requirements-gpu.lock"}
CUDA_PINS = "requirements-cuda.lock"
# PyTorch's own index, asked only for the small CPU build; another address, or none, by this variable.
CPU_INDEX = os.environ.get("SELFCORRECT_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
# What is downloaded and what it takes on disk, in GB.
SIZES = {"cpu": (0.6, 2.0), "cuda": (3.0, 6.0), GPU: (5.0, 12.0)}
# Imported after the installation, each group in a process of its own, since the first import compiles.
IMPORTS = (
    "torch, transformers, peft, trl, lm_eval",
    "numpy, pandas, scipy, seaborn, datasets, anthropic, papermill, jupytext, nbconvert, snakemake, lib.run.runs",
)
SECONDS_BETWEEN_LINES = 10
AGAIN = "run the same make command again, it continues from here"


class InstallError(Exception):
    """What stops the installation. One line with the remedy."""


def environment_of(profile, overrides):
    """The folder of the environment that a profile runs in."""
    path = ROOT / "params" / (profile + ".yaml")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return GPU if engine(text, overrides) == "vllm" else CPU


def check_host(folder, profile, overrides):
    """Raises InstallError with everything that this machine is missing for a GPU profile."""
    gpus, why = read_gpus()
    problems = gpu_problems(gpus, why, profile, overrides, platform.machine())
    if not (ROOT / folder / ".ready").exists():
        need = SIZES[GPU][1] + MODEL_GB.get(profile, 1)
        problems += [
            problem
            for problem in (this_python_problem(), disk_problem(free_gb(), need, ROOT))
            if problem
        ]
    if problems:
        remedy = (
            "leave sampling.engine as the profile has it"
            if profile == "demo"
            else "use PROFILE=demo on this machine"
        )
        raise InstallError("; ".join([*problems, remedy]))


def torch_attempts(version, gpu):
    """pip's arguments for each build of torch to try, the best first, with what it is.

    Without a GPU the CPU build where an index or a local folder holds it, else the CUDA build. That one
    is useless without its libraries, so it comes with what it depends on, held to the locks.
    """
    whole = ["--constraint", LOCKS[CPU], "--constraint", CUDA_PINS]
    any_build = (["torch==" + version, *whole], "the index's own build", "cuda")
    if gpu:
        return [([f"torch=={version},!={version}+cpu", *whole], "CUDA build", "cuda"), any_build]
    small = ["--no-deps", f"torch=={version}+cpu"]
    attempts = [(small, "CPU build", "cpu")]
    if CPU_INDEX:
        index = ["--extra-index-url", CPU_INDEX, "--retries", "1", "--timeout", "15"]
        attempts.append((small + index, "CPU build from PyTorch's index", "cpu"))
    return [*attempts, any_build]


def pins(lock):
    """The lock's lines, without comments."""
    return [
        line.strip()
        for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()
        if line[:1].isalnum()
    ]


def say(text):
    print(text, flush=True)


def pip(venv, jobs, total=None):
    """Runs pip install once for each list of arguments, together. Returns (worked, their logs as text)."""
    start = [
        str(venv / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--no-compile",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
    ]
    logs = [venv / f"install.{number}.log" for number in range(len(jobs))]
    running, shown = [], time.time()
    try:
        for log, job in zip(logs, jobs, strict=True):
            with log.open("wb") as out:
                running.append(
                    subprocess.Popen(
                        start + job, cwd=str(ROOT), stdout=out, stderr=subprocess.STDOUT
                    )
                )
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
    texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
    return all(process.returncode == 0 for process in running), "\n".join(texts)


def progress(logs, venv, total):
    """One line on how far pip has come: packages installed, and the last file that it fetched."""
    lines = [
        line.strip()
        for log in logs
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    fetched = [
        line for line in lines if line.startswith(("Downloading ", "Processing ", "Using cached "))
    ]
    there = len(list(site_packages(venv).glob("*.dist-info")))
    last = (
        os.path.basename(fetched[-1].split(" (")[0].split()[-1]) if fetched else "asking the index"
    )
    return (
        f"{min(there, total or there)}{f' of {total}' if total else ''} packages installed; {last}"
    )


def reason(log):
    """pip's last error, without the colours of a terminal."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    errors = [line for line in lines if line.startswith("ERROR:") or "Error" in line.split(":")[0]]
    return errors[-1] if errors else (lines[-1] if lines else "pip said nothing")


def site_packages(venv):
    return venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"


def make_venv(venv):
    """Makes the folder, or keeps a half-made one of the same Python; what pip left unfinished is taken away."""
    works = [str(venv / "bin" / "python"), "-c", "import sys, pip; print(sys.version_info[:2])"]
    try:
        kept = subprocess.check_output(works, stderr=subprocess.DEVNULL).decode().strip() == str(
            sys.version_info[:2]
        )
    except (OSError, subprocess.SubprocessError):
        kept = False
    if not kept:
        if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
            raise InstallError(
                f"{venv} is not a Python environment; move it away and run make again"
            )
        done = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(venv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            why = reason(done.stdout.decode("utf-8", "replace"))
            raise InstallError(
                f"{sys.executable} -m venv fails ({why}); install its venv package (on Debian: "
                f"python3.{sys.version_info[1]}-venv), or name another Python: make PYTHON=python3.12"
            )
    for half in [
        path for path in site_packages(venv).glob("*.dist-info") if not (path / "RECORD").exists()
    ]:
        shutil.rmtree(str(half))  # pip writes RECORD last
    return kept


def install_torch(venv, version, gpu):
    """Installs the first build of torch that can be had."""
    for arguments, what, kind in torch_attempts(version, gpu):
        say(
            f"torch {version}, {what}: with all it needs {SIZES[kind][0]} GB to download, {SIZES[kind][1]} GB on disk"
        )
        worked, log = pip(venv, [arguments])
        if worked:
            return
        if "No matching distribution" not in log and "Could not find a version" not in log:
            raise InstallError(f"torch was not installed: {reason(log)}; {AGAIN}")
        say("  not to be had here")
    raise InstallError(
        f"no index that pip knows has torch {version} for this Python; see pip config list"
    )


def install(folder):
    """Makes an environment, or continues one; `.ready` is written last, after its imports have worked."""
    problem = this_python_problem()
    if problem:
        raise InstallError(problem)
    venv, lock = ROOT / folder, LOCKS[folder]
    packages = pins(lock)
    started = time.time()
    with (ROOT / lock).open() as held:  # one installation at a time
        fcntl.flock(held, fcntl.LOCK_EX)
        gpus, _ = read_gpus()
        download, disk = SIZES[GPU if folder == GPU else "cuda" if gpus else "cpu"]
        say(
            f"{folder}: {len(packages)} packages of {lock}, about {download} GB to download, {disk} GB on disk"
        )
        if make_venv(venv):
            say("  the folder is there; what is missing or has changed is installed")
        elif disk_problem(free_gb(), disk, ROOT):
            raise InstallError(
                disk_problem(free_gb(), disk, ROOT) + "; make room and run make again"
            )
        if folder == CPU:
            install_torch(
                venv,
                next(pin for pin in packages if pin.startswith("torch==")).split("==")[1],
                bool(gpus),
            )
            packages = [pin for pin in packages if not pin.startswith("torch==")]
        install_pins(venv, packages)
        check_imports(venv, folder)
        (venv / ".ready").write_text(f"{lock}\n")
    say(f"{folder} is ready after {time.time() - started:.0f} s")


def install_pins(venv, packages):
    """Installs pins as they stand, in two pips, since one keeps one core busy; then makes the project importable."""
    say("packages of the lock")
    with tempfile.TemporaryDirectory() as scratch:
        jobs = []
        for number in range(2):
            part = Path(scratch) / f"part{number}.txt"
            part.write_text("\n".join(packages[number::2]) + "\n")
            jobs.append(["--no-deps", "--requirement", str(part)])
        worked, log = pip(venv, jobs, len(packages))
    if not worked:
        raise InstallError(f"not everything was installed: {reason(log)}; {AGAIN}")
    (site_packages(venv) / "selfcorrect-em.pth").write_text(
        f"{ROOT}\n", encoding="utf-8"
    )  # makes `lib` importable


def check_imports(venv, folder):
    """Raises InstallError when what was installed cannot be imported."""
    say("checking that it can be imported")
    groups = [*IMPORTS, "vllm"] if folder == GPU else IMPORTS
    running = [
        subprocess.Popen(
            [str(venv / "bin" / "python"), "-W", "ignore", "-c", "import " + names],
            cwd=str(ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for names in groups
    ]
    texts = [process.communicate()[0].decode("utf-8", "replace") for process in running]
    failed = [text for process, text in zip(running, texts, strict=True) if process.returncode]
    if failed:
        why = reason(failed[0])
        raise InstallError(
            f"installed, but it cannot be imported: {why}; delete the folder {folder} and run make again"
        )


def main(arguments):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command, rest = arguments[0], arguments[1:]
    try:
        if command == "venv":
            print(environment_of(*rest))
        elif command == "folder":
            print(os.environ.get(rest[0], ""))  # as lib/setup/caches.py has settled it
        elif command == "host":
            check_host(*rest)
        else:
            install(*rest)
    except InstallError as error:
        sys.exit(f"make: {error}")
    except KeyboardInterrupt:
        sys.exit("make: stopped; " + AGAIN)


if __name__ == "__main__":
    main(sys.argv[1:])
