"""What a person types for a notebook or for make: names are text, seeds numbers, flags booleans.

papermill's `-p` reads numbers out of text (`-p run 1.10` becomes 1.1) and leaves `false` a text,
which counts as true. So every notebook gives its parameters their types once, in its first cell, by
the functions below.
"""

from __future__ import annotations

import os
import re
from typing import Any

import psutil

SEEDS = 2**32  # what NumPy and PyTorch take as a seed lies below
LONGEST_NAME = 100  # a file system takes 255 bytes, and stages add to the name
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class ParamsError(ValueError):
    """A parameter is unknown, mistyped or out of range. The message is one line with the remedy."""


def text(key: str, value: Any) -> str:
    """The parameter as it was typed. Raises ParamsError if that is no longer known."""
    if isinstance(value, str):
        return value
    typed = _typed_for_papermill(key)
    if typed is None:
        raise ParamsError(
            f"{key} is {value!r}, a {type(value).__name__} and not text, so that what was typed is "
            f"no longer known; give it as text: papermill … -r {key} NAME"
        )
    return typed


def name(key: str, value: Any) -> str:
    """The parameter as the name of one folder or file. Raises ParamsError."""
    typed = text(key, value)
    if len(typed) > LONGEST_NAME:
        raise ParamsError(
            f"{key} {typed[:20]!r}… has {len(typed)} characters; "
            f"give a name of at most {LONGEST_NAME}"
        )
    if not PLAIN.fullmatch(typed) or typed.endswith(".") or RESERVED.fullmatch(typed):
        raise ParamsError(
            f"{key} {typed!r} is not a plain folder name; give e.g. 'demo': letters, digits and "
            "_ . + -, a letter, digit or _ first, no dot last, no name of a Windows device"
        )
    return typed


def seed(value: Any) -> int:
    """The notebook's `seed`. Raises ParamsError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < SEEDS:
        raise ParamsError(
            f"seed is {value!r}; give a whole number from 0 to {SEEDS - 1}, e.g. -p seed 42"
        )
    return value


def flag(key: str, value: Any) -> bool:
    """A parameter that is true or false. Raises ParamsError."""
    known = FLAGS.get(str(value).lower()) if isinstance(value, (bool, int, str)) else None
    if known is None:
        raise ParamsError(f"{key} is {value!r}; give true or false, e.g. -p {key} true")
    return known


def _typed_for_papermill(key: str) -> str | None:
    """The text after `-p KEY` in the papermill command that started this kernel, or None."""
    try:
        command = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return None
    typed = None
    for option, name, value in zip(command, command[1:], command[2:], strict=False):
        if option in ("-p", "--parameters") and name == key:
            typed = value  # the last one counts
    return typed
