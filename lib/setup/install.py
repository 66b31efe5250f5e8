"""Make the environment of a profile. make runs this with the system's Python, before all else.

- `venv PROFILE OVERRIDES` prints the environment's folder.
- `host FOLDER PROFILE OVERRIDES` says what this machine is missing for it.
- `install FOLDER` makes the environment, or continues an interrupted installation.
- `folder NAME` prints a variable whose folder can be written.

Standard library only, and old syntax, so that a Python out of range can still say so.
"""

import fcntl
import os
import platform
import signal
import sys
import time

from lib.setup import pip, torch_builds, virtualenv
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
from lib.setup.pip import InstallError

CPU = ".venv"
GPU = ".venv-gpu"
LOCKS = {CPU: torch_builds.CPU_LOCK, GPU: "requirements-gpu.lock"}
GPU_SIZE = (5.0, 12.0)  # GB to download, GB on disk


def environment_of(profile: str, overrides: str) -> str:
    """The folder of the environment that a profile runs in."""
    path = ROOT / "params" / (profile + ".yaml")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return GPU if engine(text, overrides) == "vllm" else CPU


def check_host(folder: str, profile: str, overrides: str) -> None:
    """Raise InstallError with everything that this machine is missing for a GPU profile."""
    gpus, why = read_gpus()
    problems = gpu_problems(gpus, why, profile, overrides, platform.machine())
    if not (ROOT / folder / ".ready").exists():
        need = GPU_SIZE[1] + MODEL_GB.get(profile, 1)
        more = [this_python_problem(), disk_problem(free_gb(), need, ROOT)]
        problems += [problem for problem in more if problem]
    if not problems:
        return
    remedy = "use PROFILE=demo on this machine"
    if profile == "demo":
        remedy = "leave sampling.engine as the profile has it"
    raise InstallError("; ".join([*problems, remedy]))


def pins(lock: str) -> "list[str]":
    """The lock's lines, without comments."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line[:1].isalnum()]


def install(folder: str) -> None:
    """Make an environment, or continue an interrupted installation.

    The file `.ready` is written last, after the imports worked. Raises InstallError.
    """
    problem = this_python_problem()
    if problem:
        raise InstallError(problem)
    started = time.time()
    with (ROOT / LOCKS[folder]).open() as held:  # one installation at a time
        fcntl.flock(held, fcntl.LOCK_EX)
        _install_locked(folder)
    pip.say(f"{folder} is ready after {time.time() - started:.0f} s")


def _install_locked(folder: str) -> None:
    """`install`, while no other installation runs."""
    venv = ROOT / folder
    lock = LOCKS[folder]
    packages = pins(lock)
    gpus, _ = read_gpus()
    download, disk = GPU_SIZE if folder == GPU else torch_builds.SIZES["cuda" if gpus else "cpu"]
    pip.say(
        f"{folder}: {len(packages)} packages of {lock}, about {download} GB to download, "
        f"{disk} GB on disk"
    )
    if virtualenv.make_venv(venv):
        pip.say("  the folder is there; what is missing or has changed is installed")
    else:
        too_small = disk_problem(free_gb(), disk, ROOT)
        if too_small:
            raise InstallError(too_small + "; make room and run make again")
    if folder == CPU:
        torch = next(pin for pin in packages if pin.startswith("torch=="))
        torch_builds.install_torch(venv, torch.split("==")[1], bool(gpus))
        packages = [pin for pin in packages if not pin.startswith("torch==")]
    virtualenv.install_pins(venv, packages)
    virtualenv.check_imports(venv, ["vllm"] if folder == GPU else [])
    (venv / ".ready").write_text(f"{lock}\n")


def main(arguments: "list[str]") -> None:
    """Run one of the commands that the module's docstring lists."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = arguments[0]
    rest = arguments[1:]
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
        sys.exit("make: stopped; " + pip.AGAIN)


if __name__ == "__main__":
    main(sys.argv[1:])
