"""An environment without the variables of this process, and programs that stand in for others."""

from __future__ import annotations

import os
from pathlib import Path

BARE = {
    k: v
    for k, v in os.environ.items()
    if not k.startswith(("PIP_", "SELFCORRECT_", "MAKE", "MFLAGS"))
}


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
