"""One process makes a stage at a time: a lock per stage, which ends with its process.

Two jobs may come to the same stage: arms that share a Phase-1 adapter, or a notebook that is
started twice. The later one waits and then finds the stage finished.
"""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

_held: dict[Path, IO[str]] = {}


class ClaimError(RuntimeError):
    """Another process makes a stage, and waiting could last for ever. One line."""


def take(manifest: Path) -> None:
    """Hold a stage's lock, once nobody else does.

    A process that holds another stage does not wait, since the other one may wait for it.
    Raises ClaimError then.
    """
    if manifest in _held:
        return
    manifest.parent.mkdir(parents=True, exist_ok=True)
    file = manifest.with_name(f".{manifest.stem}.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if _held:
            file.close()
            raise ClaimError(
                f"another process is making {manifest.stem}; wait for it, and start this again"
            ) from None
        print(f"{manifest.stem}: another process is making it, waiting for that", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a disk without locks
            raise
    _held[manifest] = file


def release(manifest: Path) -> None:
    """Let another process have the stage."""
    file = _held.pop(manifest, None)
    if file:
        file.close()
