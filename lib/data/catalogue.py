"""The catalogue of inputs (params/data.yaml): embedded, from a local folder, or downloaded; always checked by sha256."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib.config.params import PARAMS_DIR, ROOT, ParamsError, closest_name
from lib.data.columns import lookalike
from lib.data.prompts import EvalPrompt, normalise
from lib.data.text_files import DataError, not_text, read_csv, read_jsonl, read_text
from lib.run.runs import cache_dir, sha256

EMBEDDED_DIR = ROOT / "lib" / "embedded"
DATA_DIR_VARIABLE = "SELFCORRECT_DATA_DIR"


@cache
def catalogue() -> dict[str, dict]:
    """Entries by name."""
    return yaml.safe_load((PARAMS_DIR / "data.yaml").read_text(encoding="utf-8"))


def entry(name: str) -> dict:
    if name not in catalogue():
        raise ParamsError(
            f"data set {name!r} is not in params/data.yaml; nearest: {closest_name(name, catalogue())!r}"
        )
    return catalogue()[name]


def path_of(name: str) -> Path:
    """The entry's file, verified. Raises DataError when it is absent or its sha256 differs."""
    item = entry(name)
    if "embedded" in item:
        return EMBEDDED_DIR / item["embedded"]
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if folder:
        path = Path(folder).expanduser() / item["file"]
        if not path.is_absolute():
            raise DataError(
                f"{DATA_DIR_VARIABLE} is {folder!r}, a relative path; notebooks run elsewhere, make it absolute"
            )
        if not path.exists():
            raise DataError(
                f"data set {name!r}: {item['file']} is not under {DATA_DIR_VARIABLE}; put it there"
            )
    elif item["url"] is None:
        raise DataError(
            f"data set {name!r} has no download address in this form; put {item['file']} into a folder and set "
            f"{DATA_DIR_VARIABLE} to it"
        )
    else:
        path = _download(name, item)
    if (digest := sha256(path)) != item["sha256"]:
        raise DataError(
            f"data set {name!r}: sha256 of {item['file']} is {digest[:12]}…, expected {item['sha256'][:12]}…; "
            "fetch the published file again, or correct params/data.yaml if it was meant to change"
        )
    return path


def _download(name: str, item: dict) -> Path:
    import pooch

    try:
        return Path(
            pooch.retrieve(
                item["url"],
                known_hash=f"sha256:{item['sha256']}",
                path=cache_dir("data"),
                fname=item["file"].replace("/", "-"),
                progressbar=False,
            )
        )
    except Exception as error:  # pooch passes on whatever its transport raises
        raise DataError(
            f"data set {name!r} could not be fetched from {item['url']} ({type(error).__name__}: {error}); set "
            f"{DATA_DIR_VARIABLE} to a folder that holds {item['file']}"
        ) from None


def digest(name: str) -> str:
    """sha256 of the entry's verified file, for manifests."""
    return sha256(path_of(name))


def read_prompts(name: str) -> list[EvalPrompt]:
    """Prompts of an entry; `subset` is the entry's name. Raises DataError."""
    item, path = entry(name), path_of(name)
    readers = {
        "prompts_jsonl": _prompts_jsonl,
        "prompts_csv": _prompts_csv,
        "betley_yaml": _betley_yaml,
    }
    if item["reader"] not in readers:
        raise DataError(
            f"data set {name!r} holds {item['reader']}, no prompts; name a prompt set of params/data.yaml"
        )
    prompts = [p for p in readers[item["reader"]](name, item, path) if p.prompt.strip()]
    if not prompts:
        raise DataError(
            f"data set {name!r}: no prompt in {path.name}; check its `field` and `where`"
        )
    return prompts


def read_training_prompts(names: Iterable[str]) -> list[EvalPrompt]:
    """Prompts of several entries, one row per normalised text."""
    seen: dict[str, EvalPrompt] = {}
    for name in names:
        for prompt in read_prompts(name):
            seen.setdefault(normalise(prompt.prompt), prompt)
    return list(seen.values())


def _prompts_jsonl(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    rows = []
    for number, row in enumerate(read_jsonl(path), start=1):
        if any(row.get(key) != value for key, value in item.get("where", {}).items()):
            continue
        if item["field"] not in row:
            alike = lookalike(item["field"], row)
            hint = f"; {alike!r} looks like it" if alike is not None else ""
            raise DataError(
                f"{path.name}: row {number} lacks {item['field']!r}{hint}; check `field` of {name!r}"
            )
        value = row[item["field"]]
        text = (
            value[0] if isinstance(value, list) and value else value
        )  # of a multi-turn question, the first turn
        rows.append((number, row.get("id"), text))
    return _prompts(name, path, rows)


def _prompts_csv(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    rows = enumerate(read_csv(path, item["field"]), start=1)
    return _prompts(
        name, path, [(number, row.get("id"), row[item["field"]]) for number, row in rows]
    )


def _prompts(name: str, path: Path, rows: list[tuple[int, Any, Any]]) -> list[EvalPrompt]:
    """Prompts of rows (number, own id, text). Own ids stay; a set that has none is numbered, one with gaps refused."""
    numbered = all(_is_missing(own) for _, own, _ in rows)
    prompts = []
    for number, own, text in rows:
        where = f"{path.name}: row {number}"
        if not isinstance(text, str):
            raise DataError(f"{where} has {text!r} for a prompt, not text; mend or remove the row")
        if not text.strip():
            continue
        if not numbered and _is_missing(own):
            raise DataError(
                f"{where} has no id ({own!r}) while others have one; give every row an id, or none"
            )
        if not numbered and (isinstance(own, bool) or not isinstance(own, (str, int, float))):
            raise DataError(f"{where} has the id {own!r}, neither text nor a number; mend it")
        prompt_id = f"{name}-{number:04d}" if numbered else str(own)
        if reason := not_text(text) or not_text(prompt_id):
            raise DataError(f"{where} {reason}; mend or remove the row")
        prompts.append(EvalPrompt(prompt_id, name, text))
    return prompts


def _is_missing(own: Any) -> bool:
    return (
        own is None
        or (isinstance(own, str) and not own.strip())
        or (isinstance(own, float) and math.isnan(own))
    )


def _betley_yaml(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    cues = item["variants"] == "cues"
    try:
        rows = yaml.safe_load(read_text(path))
        return [
            EvalPrompt(row["id"], name, row["paraphrases"][0], row.get("system"))
            for row in rows
            if row["id"].endswith(("_json", "_template")) == cues
        ]
    except (yaml.YAMLError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{path.name} is not a list of questions with `id` and `paraphrases` ({reason}); mend it"
        ) from None


def read_chats(name: str) -> list[list[dict]]:
    """Conversations `[{role, content}, …]` of a chat set. Raises DataError with the row number and the reason."""
    if entry(name)["reader"] != "chats":
        raise DataError(
            f"data set {name!r} holds {entry(name)['reader']}, no chats; name a chat set of params/data.yaml"
        )
    path = path_of(name)
    chats = []
    for number, row in enumerate(read_jsonl(path), start=1):
        check_messages(row.get("messages"), f"{path.name}: row {number}")
        chats.append([{"role": m["role"], "content": m["content"]} for m in row["messages"]])
    return chats


def check_messages(messages, where: str) -> None:
    """Raises DataError unless the conversation has known roles in order and no empty turn."""
    if not isinstance(messages, list) or not messages:
        raise DataError(
            f"{where} has no `messages` list; a row is {{'messages': [{{'role', 'content'}}, …]}}"
        )
    for message in messages:
        if not isinstance(message, dict):
            raise DataError(
                f"{where}: a turn is {message!r}, not {{'role', 'content'}}; mend the row"
            )
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            raise DataError(f"{where}: unknown role {role!r}; use system, user or assistant")
        if not isinstance(content, str) or not content.strip():
            raise DataError(f"{where}: empty {role} turn; remove the row or give it text")
        if reason := not_text(content):
            raise DataError(f"{where}: the {role} turn {reason}; mend or remove the row")
    if any(m["role"] == "system" for m in messages[1:]):
        raise DataError(
            f"{where}: a system turn after the first; put one system text at the beginning"
        )
    turns = [m["role"] for m in messages if m["role"] != "system"]
    if turns != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise DataError(
            f"{where}: turns are {' '.join(turns)}; user and assistant must alternate, ending in assistant"
        )


def read_quiz(name: str) -> list[dict]:
    """Multiple-choice items in ARC's form. Raises DataError for an item whose answer is not among its labels."""
    path = path_of(name)
    items = read_jsonl(path)
    for number, item in enumerate(items, start=1):
        choices = item.get("choices") if isinstance(item.get("choices"), dict) else {}
        labels, texts = choices.get("label", []), choices.get("text", [])
        lists = isinstance(labels, list) and isinstance(texts, list)
        if not lists or item.get("answerKey") not in labels or len(labels) != len(texts):
            raise DataError(
                f"{path.name}: item {number} has answerKey {item.get('answerKey')!r}, labels {labels}; mend it"
            )
    return items
