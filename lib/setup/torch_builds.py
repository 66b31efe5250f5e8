"""Install torch: which builds to try, in which order.

Standard library only, and old syntax: it runs before anything is installed.
"""

import os
from pathlib import Path

from lib.setup import pip
from lib.setup.pip import InstallError

CPU_LOCK = "requirements.lock"
CUDA_PINS = "requirements-cuda.lock"
# PyTorch's own index has the small CPU build. This variable names another address, or none.
CPU_INDEX = os.environ.get("SELFCORRECT_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
SIZES = {"cpu": (0.7, 2.3), "cuda": (3.1, 6.1)}  # GB to download, GB on disk


def attempts(version: str, gpu: bool) -> "list[tuple[list[str], str, str]]":
    """The builds of torch to try, the best first.

    Without a GPU the CPU build comes first, from any index or local folder that holds it. The CUDA
    build is useless without its libraries, so pip installs its dependencies too, at the versions of
    the locks.

    Returns:
        For each build pip's arguments, its name for people, and its key in `SIZES`.
    """
    with_dependencies = ["--constraint", CPU_LOCK, "--constraint", CUDA_PINS]
    any_build = (["torch==" + version, *with_dependencies], "the index's own build", "cuda")
    if gpu:
        cuda = [f"torch=={version},!={version}+cpu", *with_dependencies]
        return [(cuda, "CUDA build", "cuda"), any_build]
    cpu_only = ["--no-deps", f"torch=={version}+cpu"]
    cpu_builds = [(cpu_only, "CPU build", "cpu")]
    if CPU_INDEX:
        index = ["--extra-index-url", CPU_INDEX, "--retries", "1", "--timeout", "15"]
        cpu_builds.append((cpu_only + index, "CPU build from PyTorch's index", "cpu"))
    return [*cpu_builds, any_build]


def install_torch(venv: Path, version: str, gpu: bool) -> None:
    """Install the first build that some index has. Raises InstallError."""
    for arguments, what, kind in attempts(version, gpu):
        download, disk = SIZES[kind]
        pip.say(
            f"torch {version}, {what}: with all it needs {download} GB to download, "
            f"{disk} GB on disk"
        )
        worked, log = pip.install(venv, [arguments])
        if worked:
            return
        if "No matching distribution" not in log and "Could not find a version" not in log:
            raise InstallError(f"torch was not installed: {pip.reason(log)}; {pip.AGAIN}")
        pip.say("  not available here")
    raise InstallError(
        f"no index that pip knows has torch {version} for this Python; see pip config list"
    )
