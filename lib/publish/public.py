"""What may be published: no place or name of a machine, no key, no long text of a prompt.

What a run says of itself is shortened (`shortened`). Then every file is searched once more
(`leak`), since a rule that is applied and never checked is none.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from lib.config.params import ROOT
from lib.run.secrets import secrets

PROMPT_LENGTH = 80  # characters of a published prompt, at most
# A path of two folders or more, not part of a web address or of another word.
PATH = re.compile(r"(?<![\w./~…])~?/(?:[\w.@+~-]+/)+[\w.@+~-]*")
KEY = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[a-z]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,})"
)
FOLDERS = (
    "HOME",
    "HF_HOME",
    "SELFCORRECT_RUNS_DIR",
    "SELFCORRECT_CACHE_DIR",
    "SELFCORRECT_DATA_DIR",
    "SELFCORRECT_MODELS_DIR",
)


def shortened(value: Any) -> Any:
    """A JSON value whose texts say of a path only its last part, and nothing of the machine."""
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, Mapping):
        return {_short(str(key)): shortened(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [shortened(part) for part in value]
    return value


def _short(text: str) -> str:
    text = PATH.sub(lambda path: f"…/{path[0].rstrip('/').rsplit('/', 1)[-1]}", text)
    return re.sub(rf"\b{re.escape(name)}\b", "(host)", text) if (name := _host()) else text


def _host() -> str | None:
    """This machine's name if it names a machine; an ordinary word may be in any text."""
    name = platform.node()
    return name if len(name) > 3 and re.search(r"[\d.-]", name) else None


def start_of(prompt: str) -> str:
    """As much of a published prompt as may be shown, on one line."""
    line = " ".join(prompt.split())
    return line if len(line) <= PROMPT_LENGTH else line[: PROMPT_LENGTH - 1] + "…"


def repeats(text: str, prompt: str) -> bool:
    """Whether a text holds more of a prompt than may be shown."""
    begins = " ".join(prompt.split())[: PROMPT_LENGTH + 1]
    return len(begins) > PROMPT_LENGTH and begins in " ".join(text.split())


def leak(text: str, prompts: Iterable[str], *, outputs: bool = False) -> str | None:
    """Why a text must not be published, in words; None if nothing is found.

    Args:
        prompts: every prompt that was asked.
        outputs: whether the text is made of answers of a model, which may write of any path. Places
            and keys of this machine are looked for in them too.
    """
    searches: list[Callable[[], str | None]] = [
        lambda: _first(KEY, text, "a key"),
        lambda: _of_environment(text),
        lambda: _host_in(text),
        lambda: None if outputs else _first(PATH, text, "an absolute path"),
        lambda: _prompt_in(text, prompts),
    ]
    return next((found for search in searches if (found := search())), None)


def _first(pattern: re.Pattern[str], text: str, what: str) -> str | None:
    found = pattern.search(text)
    return f"{what} ({found[0][:8]}…)" if found else None


def _of_environment(text: str) -> str | None:
    """A folder or a secret that the environment of this process names."""
    folders = {str(ROOT), str(Path.home()), *(os.environ.get(name, "") for name in FOLDERS)}
    if any(len(folder) > 5 and folder in text for folder in folders):
        return "a folder of this machine"
    keys = secrets().values()
    return "a key of the environment" if any(key in text for key in keys) else None


def _host_in(text: str) -> str | None:
    name = _host()
    return "the machine's name" if name and re.search(rf"\b{re.escape(name)}\b", text) else None


def _prompt_in(text: str, prompts: Iterable[str]) -> str | None:
    """A prompt of which more than may be shown is in a text, as it is, in JSON or in HTML."""
    for prompt in prompts:
        begins = prompt[: PROMPT_LENGTH + 1]
        forms = {begins, json.dumps(begins, ensure_ascii=False)[1:-1], escape(begins)}
        if len(begins) > PROMPT_LENGTH and any(form in text for form in forms):
            return f"more than {PROMPT_LENGTH} characters of a prompt ({begins[:20]}…)"
    return None
