"""Folders that the environment may name, and paths as a person types them."""

from __future__ import annotations

import os
from pathlib import Path

from lib.config.arguments import ParamsError

ROOT = Path(__file__).resolve().parents[2]
# Variables that name a folder to read from.
INPUT_FOLDERS = ("SELFCORRECT_DATA_DIR", "SELFCORRECT_MODELS_DIR", "SELFCORRECT_HEADS_DIR")


def folder(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, absolute. Raises ParamsError.

    A relative path is refused: make and the notebooks run in different folders.
    """
    named = os.environ.get(variable)
    if not named:
        return default.resolve()
    path = expanded(variable, named)
    if not path.is_absolute():
        raise ParamsError(
            f"{variable} is {named!r}, a relative path; the notebooks run in a folder of their "
            f"own, give an absolute one, e.g. {str(Path.cwd() / named)!r}"
        )
    if "{" in named or "}" in named:
        raise ParamsError(
            f"{variable} is {named!r}; Snakemake reads braces as placeholders, "
            "give a path without them"
        )
    return path.resolve()


def check_inputs() -> None:
    """Raise ParamsError if a variable names a folder of inputs that is not there."""
    for variable in INPUT_FOLDERS:
        named = os.environ.get(variable)
        if named and not expanded(variable, named).is_dir():
            raise ParamsError(
                f"{variable} is {named!r}, which is not a folder; name one that exists, or unset it"
            )
        if named and not expanded(variable, named).is_absolute():
            raise ParamsError(
                f"{variable} is {named!r}, a relative path; the notebooks run in a folder of "
                f"their own, give an absolute one, e.g. {str(Path.cwd() / named)!r}"
            )


def expanded(key: str, typed: str) -> Path:
    """A path with its `~` read as a home folder. Raises ParamsError if that user has none."""
    try:
        return Path(typed).expanduser()
    except RuntimeError:
        raise ParamsError(
            f"{key} is {typed!r}, and there is no such home folder; give an absolute path"
        ) from None


def shown(path: Path) -> Path:
    """A path as a command in the project's folder names it: relative if it is inside."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
