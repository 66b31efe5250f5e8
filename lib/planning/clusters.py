"""Where jobs run: the Snakemake profile that CLUSTER names, and how many GPUs share the work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.params import PARAMS_DIR
from lib.run import gpus

CLUSTERS = PARAMS_DIR / "cluster"
LOCAL = "local"
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
    content = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8")) or {}
    given: dict[str, str] = {}
    for entry in content.get("config") or []:
        key, _, value = str(entry).partition("=")
        given[key] = value
    count = given.get("gpus", "1")
    if not count.isdigit() or int(count) < 1:
        raise ParamsError(
            f"{profile.name}/config.yaml: config has gpus={count}; give a whole number from 1"
        )
    return int(count)
