"""The catalogue of inputs (params/data.yaml): embedded, from a local folder, or downloaded.

Every file that is not embedded is checked against its sha256.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.params import PARAMS_DIR, ROOT
from lib.data.chat_files import built_file, own_file
from lib.data.chats import check_messages
from lib.data.prompt_files import READERS
from lib.data.prompts import EvalPrompt, normalise
from lib.data.text_files import DataError, read_jsonl
from lib.run.files import sha256
from lib.run.paths import expanded
from lib.run.runs import Run
from lib.setup.caches import cache_dir

EMBEDDED_DIR = ROOT / "lib" / "embedded"
DATA_DIR_VARIABLE = "SELFCORRECT_DATA_DIR"


@cache
def catalogue() -> dict[str, dict]:
    """The entries by name."""
    return yaml.safe_load((PARAMS_DIR / "data.yaml").read_text(encoding="utf-8"))


def entry(name: str) -> dict:
    """One entry. Raises ParamsError with the nearest name if there is none."""
    if name not in catalogue():
        nearest = closest_name(name, catalogue())
        raise ParamsError(f"data set {name!r} is not in params/data.yaml; nearest: {nearest!r}")
    return catalogue()[name]


def built_sets(names: Iterable[str]) -> list[str]:
    """The names whose set is built for the run that uses it. Raises ParamsError."""
    return [name for name in names if "built" in entry(name)]


def path_of(name: str, run: Run | None = None) -> Path:
    """The entry's file, verified. Raises DataError if it is absent or its sha256 differs.

    run: the run that a `built` entry was built for.
    """
    item = entry(name)
    if "embedded" in item:
        return EMBEDDED_DIR / item["embedded"]
    if "built" in item:
        return built_file(name, run)
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if "path" in item:
        path = own_file(name, item)
    elif folder:
        path = _local(name, item, folder)
    elif item["url"] is None:
        raise DataError(
            f"data set {name!r} has no download address in this form; put {item['file']} into a "
            f"folder and set {DATA_DIR_VARIABLE} to it"
        )
    else:
        path = _download(name, item)
    actual = sha256(path)
    if actual != item["sha256"]:
        raise DataError(
            f"data set {name!r}: sha256 of {path.name} is {actual[:12]}…, expected "
            f"{item['sha256'][:12]}…; fetch the published file again, or correct params/data.yaml "
            "if it was meant to change"
        )
    return path


def _local(name: str, item: dict, folder: str) -> Path:
    """The entry's file in the user's data folder. Raises DataError."""
    path = expanded(DATA_DIR_VARIABLE, folder) / item["file"]
    if not path.is_absolute():
        raise DataError(
            f"{DATA_DIR_VARIABLE} is {folder!r}, a relative path; notebooks run elsewhere, "
            "make it absolute"
        )
    if not path.exists():
        raise DataError(
            f"data set {name!r}: {item['file']} is not under {DATA_DIR_VARIABLE}; put it there"
        )
    return path


def _download(name: str, item: dict) -> Path:
    """The entry's file in the cache, downloaded if missing. Raises DataError."""
    import pooch

    try:
        path = pooch.retrieve(
            item["url"],
            known_hash=f"sha256:{item['sha256']}",
            path=cache_dir("data"),
            fname=item["file"].replace("/", "-"),
            progressbar=False,
        )
    except Exception as error:  # pooch passes on whatever its transport raises
        raise DataError(
            f"data set {name!r} could not be fetched from {item['url']} ({type(error).__name__}: "
            f"{error}); set {DATA_DIR_VARIABLE} to a folder that holds {item['file']}"
        ) from None
    return Path(path)


def digest(name: str, run: Run | None = None) -> str:
    """sha256 of the entry's verified file, for manifests. run: as in `path_of`."""
    return sha256(path_of(name, run))


def read_prompts(name: str) -> list[EvalPrompt]:
    """The prompts of an entry, with the entry's name as `subset`. Raises DataError."""
    item = entry(name)
    path = path_of(name)
    if item["reader"] not in READERS:
        raise DataError(
            f"data set {name!r} holds {item['reader']}, not prompts; name a prompt set of "
            "params/data.yaml"
        )
    read = READERS[item["reader"]]
    prompts = [prompt for prompt in read(name, item, path) if prompt.prompt.strip()]
    if not prompts:
        raise DataError(
            f"data set {name!r}: no prompt in {path.name}; check its `field` and `where`"
        )
    return prompts


def read_training_prompts(names: Iterable[str]) -> list[EvalPrompt]:
    """The prompts of several entries; of prompts with the same normalised text, the first."""
    by_text: dict[str, EvalPrompt] = {}
    for name in names:
        for prompt in read_prompts(name):
            by_text.setdefault(normalise(prompt.prompt), prompt)
    return list(by_text.values())


def read_chats(name: str, run: Run | None = None) -> list[list[dict]]:
    """The conversations `[{role, content}, …]` of a chat set. run: as in `path_of`.

    Raises DataError with the row number and the reason.
    """
    reader = entry(name)["reader"]
    if reader != "chats":
        raise DataError(
            f"data set {name!r} holds {reader}, not chats; name a chat set of params/data.yaml"
        )
    path = path_of(name, run)
    chats = []
    for number, row in enumerate(read_jsonl(path), start=1):
        messages = check_messages(row.get("messages"), f"{path.name}: row {number}")
        chats.append([{"role": turn["role"], "content": turn["content"]} for turn in messages])
    return chats


def read_quiz(name: str) -> list[dict]:
    """Multiple-choice items in ARC's form.

    Raises DataError for an item whose answer is not among its labels.
    """
    path = path_of(name)
    items = read_jsonl(path)
    for number, item in enumerate(items, start=1):
        given = item.get("choices")
        choices = given if isinstance(given, dict) else {}
        labels = choices.get("label", [])
        texts = choices.get("text", [])
        lists = isinstance(labels, list) and isinstance(texts, list)
        answer = item.get("answerKey")
        if not lists or answer not in labels or len(labels) != len(texts):
            raise DataError(
                f"{path.name}: item {number} has answerKey {answer!r}, labels {labels}; mend it"
            )
    return items
