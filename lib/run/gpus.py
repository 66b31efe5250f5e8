"""The GPUs of this host, and one of them for each job: `python -m lib.run.gpus COMMAND …`.

With two GPUs or more, a job waits until one is free, and sees only that one. The job itself holds
the lock of its GPU, so the kernel frees it even if the job is killed. With one GPU or none, the
command runs as it is.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lib.run.runs import Run, runs_root
from lib.setup.host import read_gpus

VISIBLE = "CUDA_VISIBLE_DEVICES"
PAUSE = 0.25  # seconds between two looks for a free GPU


def visible() -> list[str]:
    """The GPUs that a program started here would see, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get(VISIBLE)
    if named is None:
        return [str(number) for number in range(len(read_gpus()[0]))]
    devices = []
    for device in (part.strip() for part in named.split(",")):
        if not device or device.startswith("-"):
            break  # CUDA ignores everything from the first name on that is not a device
        devices.append(device)
    return devices


def take(devices: Sequence[str], folder: Path) -> tuple[str, int]:
    """Wait until a GPU is free, and take it.

    Args:
        devices: names of the GPUs, in the order of preference.
        folder: where the locks are. All jobs that share the GPUs have to name the same folder.

    Returns the GPU and the file descriptor of its lock. Closing the descriptor frees the GPU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_told = False
    while True:
        for device in devices:
            held = _lock(folder, device)
            if held is not None:
                return device, held
        if not is_told:
            print(f"all GPUs are in use ({', '.join(devices)}); waiting for one", flush=True)
            is_told = True
        time.sleep(PAUSE)


def _lock(folder: Path, device: str) -> int | None:
    """The descriptor of a GPU's lock, or None if another job holds it."""
    # Hosts may share the folder, and each has a GPU 0 of its own.
    name = re.sub(r"[^\w.-]", "_", f"{socket.gethostname()}.{device}")
    held = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def groups_file(run: Run) -> Path:
    """The file that says for how many GPUs the run's stages were last divided."""
    return run.dir / ".done" / ".gpus"


def remember(run: Run, count: int) -> None:
    """Write down for how many GPUs the stages are divided, for those who read their names."""
    path = groups_file(run)
    if count != remembered(run):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(count), encoding="utf-8")


def remembered(run: Run) -> int:
    """For how many GPUs the run's stages were divided; 1 if nothing says it."""
    path = groups_file(run)
    return int(path.read_text(encoding="utf-8")) if path.exists() else 1


def main(command: Sequence[str]) -> None:
    """Become the command, on a GPU of its own if there are several."""
    devices = visible()
    if len(devices) > 1:
        device, held = take(devices, runs_root() / ".gpus")
        os.set_inheritable(held, True)  # the command keeps the lock until it ends
        os.environ[VISIBLE] = device
        print(f"on GPU {device} of {len(devices)}", flush=True)
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    main(sys.argv[1:])
