"""Folders that the environment may name, and paths as a person types them."""

from __future__ import annotations

import os
from pathlib import Path

from lib.config.arguments import ParamsError

ROOT = Path(__file__).resolve().parents[2]


def folder(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, absolute. Raises ParamsError.

    A relative path is refused: make and the notebooks run in different folders.
    """
    named = os.environ.get(variable)
    if not named:
        return default.resolve()
    path = Path(named).expanduser()
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


def shown(path: Path) -> Path:
    """A path as a command in the project's folder names it: relative if it is inside."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
