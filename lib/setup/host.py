"""What this machine has, and what it is missing for an environment or a profile.

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
OLDEST, NEWEST = (3, 11), (3, 13)  # every pin has a wheel for these
DRIVER = 580  # the oldest that runs CUDA 13, which the GPU lock's torch is built for
GPU_GB = {"qwen7b": 40}  # for the profile as it stands; training.memory_gib bounds it otherwise
SMALL_GPU_GB = 8
MODEL_GB = {"qwen7b": 16}  # weights that the run downloads


def engine(text, overrides):
    """The sampling engine of a profile's YAML text, after overrides; None where it names none."""
    try:
        given = json.loads(overrides or "{}")
        whole = given.get("sampling")
        found = given.get(
            "sampling.engine", whole.get("engine") if isinstance(whole, dict) else None
        )
    except (ValueError, AttributeError):
        found = None  # lib.config.params refuses such overrides with a reason
    if isinstance(found, str):
        return found
    block = re.search(r"^sampling:(.*(?:\n(?:[ \t#].*)?)*)", text, re.MULTILINE)
    lines = re.sub(r"(?m)(^|\s)#.*$", "", block.group(1)) if block else ""
    named = re.search(r"""(?:^|[\s{,])["']?engine["']?\s*:\s*["']?(\w+)""", lines)
    return named.group(1) if named else None


def python_problem(version, implementation="cpython", threads=False):
    """Why this Python cannot be used, or None."""
    if implementation == "cpython" and not threads and OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    kind = "Python" if implementation == "cpython" else implementation
    threaded = "t (free threads)" if threads else ""
    return (
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, this is {kind} {version[0]}.{version[1]}{threaded}; "
        "name another one: make PYTHON=python3.12"
    )


def this_python_problem():
    return python_problem(
        sys.version_info, sys.implementation.name, bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    )


def read_gpus():
    """(GPUs as (name, GB, driver), None), or ([], why none can be used)."""
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
    lines = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    if done.returncode:
        return [], "nvidia-smi fails: " + (lines[0] if lines else f"exit code {done.returncode}")
    rows = [[part.strip() for part in line.split(",")] for line in lines]
    gpus = [
        (row[0], int(row[1]) / 1024 if row[1].isdigit() else None, row[2])
        for row in rows
        if len(row) == 3
    ]
    return gpus, None if gpus else "nvidia-smi lists no GPU"


def memory_needed(profile, overrides):
    """GB of GPU memory: the profile's, or the bound on training's memory that the overrides set."""
    try:
        bound = json.loads(overrides or "{}").get("training.memory_gib")
    except (ValueError, AttributeError):
        bound = None
    known = GPU_GB.get(profile, SMALL_GPU_GB)
    return min(known, bound) if isinstance(bound, (int, float)) and bound > 0 else known


def gpu_problems(gpus, why, profile, overrides="{}", machine="x86_64"):
    """What a machine is missing for a profile that samples with vLLM, in words."""
    need = memory_needed(profile, overrides)
    wanted = f"profile {profile} needs a GPU with {need:g} GB"
    found = [] if machine == "x86_64" else [f"vLLM's pinned build is for x86_64, this is {machine}"]
    if why:
        return [*found, why, wanted]
    name, memory, driver = max(gpus, key=lambda gpu: gpu[1] or 0)
    if memory is not None and round(memory) < need * 0.97:  # a card of 40 GB reports a little less
        found.append(f"{name} has {memory:.0f} GB; {wanted}")
    major = driver.split(".")[0]
    if major.isdigit() and int(major) < DRIVER:
        found.append(f"CUDA 13 needs NVIDIA driver {DRIVER} or newer, this is {driver}")
    return found


def disk_problem(free_gb, need_gb, folder):
    """Why the disk is too small, or None."""
    if free_gb >= need_gb:
        return None
    return f"{folder} has {free_gb:.1f} GB free, {need_gb:.0f} GB are needed"


def free_gb():
    return shutil.disk_usage(str(ROOT)).free / 1e9
