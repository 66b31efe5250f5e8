"""What this machine has, and what an environment or a profile needs in addition.

Standard library only, and old syntax: it runs before anything is installed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Every pin has a wheel for the Python versions from OLDEST to NEWEST.
OLDEST = (3, 11)
NEWEST = (3, 13)
DRIVER = 580  # the oldest that runs CUDA 13, which the GPU lock's torch is built for
# GPU memory that a profile needs, unless training.memory_gib sets a lower bound.
GPU_GB = {"qwen7b": 40}
SMALL_GPU_GB = 8  # of every other profile
MODEL_GB = {"qwen7b": 16}  # weights that the run downloads


def engine(text: str, overrides: str) -> "str | None":
    """The sampling engine that a profile names, after overrides. None if neither names one.

    Args:
        text: the profile's YAML, read by pattern because no YAML library is installed yet.
        overrides: JSON text.
    """
    try:
        given = json.loads(overrides or "{}")
        section = given.get("sampling")
        in_section = section.get("engine") if isinstance(section, dict) else None
        overridden = given.get("sampling.engine", in_section)
    except (ValueError, AttributeError):
        overridden = None  # lib.config.params refuses such overrides with a reason
    if isinstance(overridden, str):
        return overridden
    block = re.search(r"^sampling:(.*(?:\n(?:[ \t#].*)?)*)", text, re.MULTILINE)
    lines = re.sub(r"(?m)(^|\s)#.*$", "", block.group(1)) if block else ""
    named = re.search(r"""(?:^|[\s{,])["']?engine["']?\s*:\s*["']?(\w+)""", lines)
    return named.group(1) if named else None


def python_problem(
    version: "tuple[int, ...]", implementation: str = "cpython", threads: bool = False
) -> "str | None":
    """Why a Python cannot be used, or None. threads: whether it is a free-threaded build."""
    if implementation == "cpython" and not threads and OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    kind = "Python" if implementation == "cpython" else implementation
    threaded = "t (free threads)" if threads else ""
    return (
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, this is {kind} "
        f"{version[0]}.{version[1]}{threaded}; name another one: make PYTHON=python3.12"
    )


def this_python_problem() -> "str | None":
    """Why the Python that runs this cannot be used, or None."""
    free_threads = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return python_problem(sys.version_info[:3], sys.implementation.name, free_threads)


def read_gpus() -> "tuple[list[tuple[str, float | None, str]], str | None]":
    """Returns (GPUs as (name, GB, driver), None), or ([], why none can be used)."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return [], "CUDA_VISIBLE_DEVICES hides every GPU"
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(
            query, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
        )
    except FileNotFoundError:
        return [], "no NVIDIA driver: nvidia-smi is missing"
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"nvidia-smi does not run ({type(error).__name__})"
    output = done.stdout.decode("utf-8", "replace")
    lines = [line for line in output.splitlines() if line.strip()]
    if done.returncode:
        return [], "nvidia-smi fails: " + (lines[0] if lines else f"exit code {done.returncode}")
    gpus = []
    for line in lines:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3:
            name, mebibytes, driver = fields
            gpus.append((name, int(mebibytes) / 1024 if mebibytes.isdigit() else None, driver))
    return gpus, None if gpus else "nvidia-smi lists no GPU"


def memory_needed(profile: str, overrides: str) -> float:
    """GB of GPU memory that a profile needs, or the lower bound that the overrides set."""
    try:
        bound = json.loads(overrides or "{}").get("training.memory_gib")
    except (ValueError, AttributeError):
        bound = None
    known = GPU_GB.get(profile, SMALL_GPU_GB)
    return min(known, bound) if isinstance(bound, (int, float)) and bound > 0 else known


def gpu_problems(
    gpus: "list[tuple[str, float | None, str]]",
    why: "str | None",
    profile: str,
    overrides: str = "{}",
    machine: str = "x86_64",
) -> "list[str]":
    """What a machine is missing for a profile that samples with vLLM, one sentence each.

    Args:
        gpus: (name, GB, driver) of each GPU, from `read_gpus`.
        why: why none can be used, from `read_gpus`.
        profile: the profile's name.
        overrides: JSON text.
        machine: the processor's architecture.
    """
    need = memory_needed(profile, overrides)
    wanted = f"profile {profile} needs a GPU with {need:g} GB"
    problems = []
    if machine != "x86_64":
        problems.append(f"vLLM's pinned build is for x86_64, this is {machine}")
    if why:
        return [*problems, why, wanted]
    name, memory, driver = max(gpus, key=lambda gpu: gpu[1] or 0)
    if memory is not None and round(memory) < need * 0.97:  # a card of 40 GB reports a little less
        problems.append(f"{name} has {memory:.0f} GB; {wanted}")
    major = driver.split(".")[0]
    if major.isdigit() and int(major) < DRIVER:
        problems.append(f"CUDA 13 needs NVIDIA driver {DRIVER} or newer, this is {driver}")
    return problems


def disk_problem(free_gb: float, need_gb: float, folder: "Path | str") -> "str | None":
    """Why the disk is too small, or None."""
    if free_gb >= need_gb:
        return None
    return f"{folder} has {free_gb:.1f} GB free, {need_gb:.0f} GB are needed"


def free_gb() -> float:
    """Free space on the project's disk, in GB."""
    return shutil.disk_usage(str(ROOT)).free / 1e9
