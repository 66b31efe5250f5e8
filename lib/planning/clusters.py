"""Where jobs run: the Snakemake profile that CLUSTER names, and how many GPUs share the work."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.params import PARAMS_DIR
from lib.run import gpus

CLUSTERS = PARAMS_DIR / "cluster"
LOCAL = "local"
SLURM = "slurm"
SLURM_PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
PATIENCE = 90  # seconds for Slurm's controller to answer
CORES = 4  # of a job, where neither a profile nor the host says how many


def folder() -> Path:
    """The folder of the Snakemake profile that CLUSTER names. Raises ParamsError.

    It is one of params/cluster, or a folder of the user's own, given by its absolute path.
    """
    name = os.environ.get("CLUSTER") or LOCAL
    if Path(name).is_absolute() and (Path(name) / "config.yaml").exists():
        return Path(name)
    known = sorted(path.parent.name for path in CLUSTERS.glob("*/config.yaml"))
    if name not in known:
        raise ParamsError(
            f"CLUSTER is {name!r}, and params/cluster/{name}/config.yaml does not exist; "
            f"nearest: {closest_name(name, known)!r}"
        )
    return CLUSTERS / name


def is_local() -> bool:
    """Whether jobs run on this host by params/cluster/local."""
    return folder().name == LOCAL


def check_controller() -> None:
    """Check that Slurm's controller answers, if jobs go to Slurm. Raises ParamsError if not.

    Snakemake would find out after minutes, stage by stage, with a traceback.
    """
    if _content(folder()).get("executor") != SLURM:
        return
    missing = [name for name in SLURM_PROGRAMS if shutil.which(name) is None]
    reason = f"{', '.join(missing)} not found" if missing else _why_no_answer()
    if reason:
        raise ParamsError(
            f"CLUSTER is {os.environ['CLUSTER']!r}, and no Slurm controller answers this host "
            f"({reason}); start make on a host that submits to a running Slurm, or leave CLUSTER "
            "out to run the jobs on this host"
        )


def _why_no_answer() -> str | None:
    """Why no controller of Slurm answers, in Slurm's words; None if one does."""
    command = ["scontrol", "ping"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"scontrol ping: nothing within {PATIENCE} s"
    if done.returncode == 0 or " is UP" in done.stdout:  # of two controllers one may be down
        return None
    told = done.stderr.strip().splitlines()[-1:] or done.stdout.strip().splitlines()[:1]
    return f"scontrol ping: {told[0] if told else f'exit code {done.returncode}'}"


def gpus_here() -> list[str]:
    """The GPUs of this host that share the work; none if a cluster does it."""
    return gpus.visible() if is_local() else []


def cores(config: Mapping[str, object], here: int | None, shares: int = 1) -> int:
    """How many cores a job takes.

    A cluster's profile says it. The host that submits and the node have to count the same, since
    Slurm starts nothing in a job that asks for more cores than the job has reserved.

    Args:
        config: what Snakemake was given; cpus of a cluster's profile.
        here: cores that Snakemake may use on this host, if it runs the jobs itself.
        shares: among how many jobs at once the cores of this host are divided.
    """
    if "cpus" in config:
        return int(str(config["cpus"]))
    return max(1, (here or CORES) // shares)


def shares() -> int:
    """Among how many GPUs the work is divided: those of this host, or as a cluster says.

    Raises ParamsError if the profile says no whole number.
    """
    profile = folder()
    if profile.name == LOCAL:
        return max(1, len(gpus_here()))
    given: dict[str, str] = {}
    for entry in _content(profile).get("config") or []:
        key, _, value = str(entry).partition("=")
        given[key] = value
    count = given.get("gpus", "1")
    if not count.isdigit() or int(count) < 1:
        raise ParamsError(
            f"{profile.name}/config.yaml: config has gpus={count}; give a whole number from 1"
        )
    return int(count)


def _content(profile: Path) -> dict[str, Any]:
    """What the config.yaml of a Snakemake profile says."""
    return yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8")) or {}
