"""Models that lie on this machine: where, and what the folder says of where its weights are from.

A hub revision says nothing about weights that came from another file, such as a dequantised GGUF
file. So a model folder may hold one line of text, WEIGHTS.txt, that names their origin.
"""

from __future__ import annotations

import os
from pathlib import Path

from lib.config.recipes import ModelParams
from lib.run.paths import expanded

MODELS_DIR_VARIABLE = "SELFCORRECT_MODELS_DIR"
ORIGIN_FILE = "WEIGHTS.txt"
ORIGIN_LENGTH = 240  # characters that are shown of it


def local_folder(name: str) -> Path | None:
    """The folder that a model's name stands for, if there is one.

    A folder itself, or one under SELFCORRECT_MODELS_DIR that is called like the hub id or like its
    last part, in any case.
    """
    itself = expanded("model.name", name)
    if itself.is_dir():
        return itself
    if not (root := os.environ.get(MODELS_DIR_VARIABLE)):
        return None
    last = name.rsplit("/", 1)[-1].lower()
    if (Path(root) / name).is_dir():
        return Path(root) / name
    folders = sorted(Path(root).iterdir()) if Path(root).is_dir() else []
    return next((path for path in folders if path.is_dir() and path.name.lower() == last), None)


def own_folder(model: ModelParams) -> Path | None:
    """The folder on this machine that a base is loaded from; None if the project fetches it."""
    if model.source == "path":
        return expanded("model.name", model.name)
    return local_folder(model.name) if model.source == "hub" else None


def weights_origin(folder: Path) -> str | None:
    """The first line of a folder's WEIGHTS.txt, cut to a bound; None without one.

    Anybody may have written it, so characters that do not print are replaced.
    """
    path = folder / ORIGIN_FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        text = file.read(4 * ORIGIN_LENGTH + 1000).decode("utf-8", errors="replace")
    line = (text.strip().splitlines() or [""])[0].strip()
    printable = "".join(character if character.isprintable() else "�" for character in line)
    cut = "…" if len(printable) > ORIGIN_LENGTH else ""
    return printable[: ORIGIN_LENGTH - len(cut)] + cut or None
