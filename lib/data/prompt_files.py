"""Read the prompts of one file in each of the forms that params/data.yaml names as `reader`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lib.data.lookalike import lookalike
from lib.data.prompts import EvalPrompt
from lib.data.text_files import DataError, not_text, read_csv, read_jsonl, read_text


class Row(NamedTuple):
    """One row of a prompt file."""

    number: int
    own_id: Any
    text: Any


def read_prompts_jsonl(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    """Prompts of a JSONL file: the rows that match `where`, the text in `field`.

    Of a question with several turns, the first turn is taken.
    """
    where = item.get("where", {})
    field = item["field"]
    rows = []
    for number, row in enumerate(read_jsonl(path), start=1):
        if any(row.get(key) != value for key, value in where.items()):
            continue
        if field not in row:
            alike = lookalike(field, row)
            hint = f"; {alike!r} looks like it" if alike is not None else ""
            raise DataError(
                f"{path.name}: row {number} has no {field!r}{hint}; check `field` of {name!r}"
            )
        text = row[field]
        if isinstance(text, list) and text:
            text = text[0]
        rows.append(Row(number, row.get("id"), text))
    return _prompts(name, path, rows)


def read_prompts_csv(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    """Prompts of a CSV file, the text in the column `field`."""
    rows = []
    for number, row in enumerate(read_csv(path, item["field"]), start=1):
        rows.append(Row(number, row.get("id"), row[item["field"]]))
    return _prompts(name, path, rows)


def read_betley_yaml(name: str, item: dict, path: Path) -> list[EvalPrompt]:
    """Prompts of Betley et al.'s YAML: `variants: cues` takes the JSON and template variants."""
    cues = item["variants"] == "cues"
    prompts = []
    try:
        for row in yaml.safe_load(read_text(path)):
            if row["id"].endswith(("_json", "_template")) == cues:
                text = row["paraphrases"][0]
                prompts.append(EvalPrompt(row["id"], name, text, row.get("system")))
    except (yaml.YAMLError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{path.name} is not a list of questions with `id` and `paraphrases` ({reason}); "
            "mend it"
        ) from None
    return prompts


READERS = {
    "prompts_jsonl": read_prompts_jsonl,
    "prompts_csv": read_prompts_csv,
    "betley_yaml": read_betley_yaml,
}


def _prompts(name: str, path: Path, rows: list[Row]) -> list[EvalPrompt]:
    """Prompts of rows. Own ids stay; a set without ids is numbered; gaps are refused."""
    numbered = all(_is_missing(row.own_id) for row in rows)
    prompts = []
    for number, own_id, text in rows:
        where = f"{path.name}: row {number}"
        if not isinstance(text, str):
            raise DataError(f"{where} has {text!r} for a prompt, not text; mend or remove the row")
        if not text.strip():
            continue
        prompt_id = f"{name}-{number:04d}" if numbered else _own_id(own_id, where)
        if reason := not_text(text) or not_text(prompt_id):
            raise DataError(f"{where} {reason}; mend or remove the row")
        prompts.append(EvalPrompt(prompt_id, name, text))
    return prompts


def _own_id(own_id: Any, where: str) -> str:
    if _is_missing(own_id):
        raise DataError(
            f"{where} has no id ({own_id!r}) while others have one; give every row an id, or none"
        )
    if isinstance(own_id, bool) or not isinstance(own_id, (str, int, float)):
        raise DataError(f"{where} has the id {own_id!r}, neither text nor a number; mend it")
    return str(own_id)


def _is_missing(own_id: Any) -> bool:
    if isinstance(own_id, str):
        return not own_id.strip()
    return own_id is None or (isinstance(own_id, float) and math.isnan(own_id))
