"""The catalogue of inputs (params/data.yaml): embedded, from a local folder, or downloaded; always checked by sha256."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from lib.params import PARAMS_DIR, ROOT, ParamsError, closest_name
from lib.prompts import EvalPrompt, normalise
from lib.runs import cache_dir, sha256

EMBEDDED_DIR = ROOT / "lib" / "embedded"
DATA_DIR_VARIABLE = "SELFCORRECT_DATA_DIR"


class DataError(ValueError):
    """An input that is missing, altered or malformed; one line with file, place, reason and remedy."""


@cache
def catalogue() -> dict[str, dict]:
    """Entries by name."""
    return yaml.safe_load((PARAMS_DIR / "data.yaml").read_text(encoding="utf-8"))


def entry(name: str) -> dict:
    if name not in catalogue():
        raise ParamsError(f"data set {name!r} is not in params/data.yaml; nearest: {closest_name(name, catalogue())!r}")
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
            raise DataError(f"{DATA_DIR_VARIABLE} is {folder!r}, a relative path; notebooks run elsewhere, make it absolute")
        if not path.exists():
            raise DataError(f"data set {name!r}: {item['file']} is not under {DATA_DIR_VARIABLE}; put it there")
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
                item["url"], known_hash=f"sha256:{item['sha256']}", path=cache_dir("data"),
                fname=item["file"].replace("/", "-"), progressbar=False,
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


def read_jsonl(path: Path) -> list[dict]:
    """Objects of a JSONL file. Raises DataError with the line number and the reason."""
    rows = []
    lines = _utf8(path).split("\n")  # not splitlines: JSON strings may hold other line separators
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path.name}: line {number} is no JSON ({error.msg}); mend or remove the line") from None
        if not isinstance(row, dict):
            raise DataError(f"{path.name}: line {number} holds a {type(row).__name__}, not an object; mend the line")
        rows.append(row)
    return rows


def _utf8(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def read_prompts(name: str) -> list[EvalPrompt]:
    """Prompts of an entry; `subset` is the entry's name. Raises DataError."""
    item, path = entry(name), path_of(name)
    readers = {"prompts_jsonl": _prompts_jsonl, "prompts_csv": _prompts_csv, "betley_yaml": _betley_yaml}
    if item["reader"] not in readers:
        raise DataError(f"data set {name!r} holds {item['reader']}, no prompts; name a prompt set of params/data.yaml")
    prompts = [p for p in readers[item["reader"]](name, item, path) if p.prompt.strip()]
    if not prompts:
        raise DataError(f"data set {name!r}: no prompt in {path.name}; check its `field` and `where`")
    return prompts


def read_training_prompts(names: Iterable[str]) -> list[EvalPrompt]:
    """Prompts of several entries, one row per normalised text."""
    seen: dict[str, EvalPrompt] = {}
    for name in names:
        for prompt in read_prompts(name):
            seen.setdefault(normalise(prompt.prompt), prompt)
    return list(seen.values())


def _prompts_jsonl(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    prompts = []
    for number, row in enumerate(read_jsonl(path), start=1):
        if any(row.get(key) != value for key, value in item.get("where", {}).items()):
            continue
        if item["field"] not in row:
            raise DataError(f"{path.name}: row {number} lacks {item['field']!r}; check `field` of {name!r}")
        value = row[item["field"]]
        text = value[0] if isinstance(value, list) and value else value  # of a multi-turn question, the first turn
        prompts.append(_prompt(row.get("id"), name, number, text, path))
    return prompts


def _prompts_csv(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    rows = list(csv.DictReader(io.StringIO(_utf8(path), newline="")))
    if rows and item["field"] not in rows[0]:
        raise DataError(f"{path.name} lacks the column {item['field']!r}; it has {', '.join(map(str, rows[0]))}")
    return [_prompt(row.get("id"), name, number, row[item["field"]], path) for number, row in enumerate(rows, start=1)]


def _prompt(own_id, name: str, number: int, text, path: Path) -> EvalPrompt:
    if not isinstance(text, str):
        raise DataError(f"{path.name}: row {number} has {text!r} for a prompt, not text; mend or remove the row")
    return EvalPrompt(str(own_id or f"{name}-{number:04d}"), name, text)


def _betley_yaml(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    cues = item["variants"] == "cues"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        EvalPrompt(row["id"], name, row["paraphrases"][0], row.get("system"))
        for row in rows
        if row["id"].endswith(("_json", "_template")) == cues
    ]


def read_chats(name: str) -> list[list[dict]]:
    """Conversations `[{role, content}, …]` of a chat set. Raises DataError with the row number and the reason."""
    if entry(name)["reader"] != "chats":
        raise DataError(f"data set {name!r} holds {entry(name)['reader']}, no chats; name a chat set of params/data.yaml")
    path = path_of(name)
    chats = []
    for number, row in enumerate(read_jsonl(path), start=1):
        check_messages(row.get("messages"), f"{path.name}: row {number}")
        chats.append([{"role": m["role"], "content": m["content"]} for m in row["messages"]])
    return chats


def check_messages(messages, where: str) -> None:
    """Raises DataError unless the conversation has known roles in order and no empty turn."""
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where} has no `messages` list; a row is {{'messages': [{{'role', 'content'}}, …]}}")
    for message in messages:
        if not isinstance(message, dict):
            raise DataError(f"{where}: a turn is {message!r}, not {{'role', 'content'}}; mend the row")
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            raise DataError(f"{where}: unknown role {role!r}; use system, user or assistant")
        if not isinstance(content, str) or not content.strip():
            raise DataError(f"{where}: empty {role} turn; remove the row or give it text")
    if any(m["role"] == "system" for m in messages[1:]):
        raise DataError(f"{where}: a system turn after the first; put one system text at the beginning")
    turns = [m["role"] for m in messages if m["role"] != "system"]
    if turns != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise DataError(f"{where}: turns are {' '.join(turns)}; user and assistant must alternate, ending in assistant")


def read_quiz(name: str) -> list[dict]:
    """Multiple-choice items in ARC's form. Raises DataError for an item whose answer is not among its labels."""
    path = path_of(name)
    items = read_jsonl(path)
    for number, item in enumerate(items, start=1):
        labels = item.get("choices", {}).get("label", [])
        if item.get("answerKey") not in labels or len(labels) != len(item["choices"].get("text", [])):
            raise DataError(f"{path.name}: item {number} has answerKey {item.get('answerKey')!r}, labels {labels}; mend it")
    return items
