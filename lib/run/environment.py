"""What a run was made with: Python, packages, machine, and the project's commit."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from lib.config.params import ROOT
from lib.setup.locks import differences

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "lm_eval",
    "scipy",
    "numpy",
    "pandas",
    "sentence-transformers",
)
GPU_PACKAGES = ("liger-kernel", "vllm")  # recorded only if installed; they change the arithmetic
GIT_SECONDS = 20  # a checkout on a network drive can hang


def environment() -> dict:
    """Python, packages, machine and commit, for the manifest. An unknown value is None."""
    import torch

    gpu_packages = [name for name in GPU_PACKAGES if _is_installed(name)]
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*PACKAGES, *gpu_packages)},
        "lock_differences": differences(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "commit": commit(),
    }


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The project's own git commit, with `+changes` when the tree differs from it.

    None if it cannot be known: no git, no checkout, a checkout that git refuses to read, or a
    folder inside another project's checkout.
    """
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT.resolve():
        return None
    head = _git("rev-parse", "--verify", "HEAD")
    status = _git("status", "--porcelain")
    if not head or status is None:
        return None
    return head + ("+changes" if status else "")


def _git(*arguments: str) -> str | None:
    """What git prints about the project's folder. None if it fails, hangs or is not installed.

    Variables such as GIT_DIR are left out: inside a git hook they point elsewhere.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            env=environment,
            check=True,
            timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
