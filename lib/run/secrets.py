"""Keys of the environment never reach a log, a notebook or a page, whatever prints them.

A key is the value of a variable whose name says so. It is replaced by the variable's name.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)$")  # names of variables that hold one
SECRET_LENGTH = 11  # a shorter value may be any word


def secrets() -> dict[str, str]:
    """The keys of this process's environment, by the variable's name."""
    return {
        name: value.strip()
        for name, value in os.environ.items()
        if SECRET.search(name) and len(value.strip()) >= SECRET_LENGTH
    }


def redacted(text: str) -> str:
    """The text with every key replaced by the name of its variable."""
    for name, value in secrets().items():
        text = text.replace(value, f"[{name}]")
    return text


def guard_kernel() -> None:
    """Redact what this notebook's kernel prints and shows, and its errors.

    Elsewhere nothing happens.
    """
    from IPython import get_ipython

    shell: Any = get_ipython()
    if shell is None or getattr(shell, "_redacts", False):
        return
    shell._redacts = True
    _guard_streams()
    # IPython gives each cell a `write` of its own, and puts the earlier one back afterwards.
    shell.events.register("pre_execute", _guard_streams)
    shell.display_formatter.format = _showing(shell.display_formatter.format)
    show = shell._showtraceback

    def show_redacted(kind: type, error: BaseException, lines: list[str]) -> None:
        told = redacted(str(error))
        if told != str(error):
            error = RuntimeError(told)
        show(kind, error, [redacted(line) for line in lines])

    shell._showtraceback = show_redacted


def _guard_streams() -> None:
    """Redact what is written to both streams from now on."""
    for stream in (sys.stdout, sys.stderr):
        if not hasattr(stream.write, "redacts"):
            stream.write = _redacting(stream.write)


def _showing(show: Callable[..., Any]) -> Callable[..., Any]:
    """A formatter of values that returns redacted texts; anything else, such as a figure, stays."""

    def redacts(*given: Any, **options: Any) -> Any:
        texts, about = show(*given, **options)
        told = {k: redacted(v) if isinstance(v, str) else v for k, v in texts.items()}
        return told, about

    return redacts


def _redacting(write: Callable[[str], Any]) -> Callable[[str], Any]:
    """A stream's `write` that passes on redacted text."""

    def redacts(text: str) -> Any:
        return write(redacted(text))

    redacts.redacts = True  # pyright: ignore[reportFunctionMemberAccess]
    return redacts
