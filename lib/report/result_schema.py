"""The JSON schema of result.json, made from the types and their comments.

`python -m lib.report.result_schema` writes docs/result.schema.json.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import TypeAdapter

from lib.analysis import decision, effects, findings, limits
from lib.checks import recorded
from lib.config.params import ROOT
from lib.report import base_weights, predictions, result
from lib.report.result import NOT_OF_A_PILOT

PATH = ROOT / "docs" / "result.schema.json"
MODULES = (effects, findings, limits, decision, recorded, base_weights, predictions, result)
FIELD = re.compile(r"^    (\w+): .*?(?:  # (.*))?$")
# Present in every file but those of the other kind: a pilot's, or one whose figures are not drawn.
OPTIONAL = {*NOT_OF_A_PILOT, "stop", "figures"}


def schema() -> dict[str, Any]:
    """The document that a result.json of notebook 06, or of the pilot, obeys."""
    whole = TypeAdapter(result.RunResult).json_schema()
    types = whole["$defs"]
    for name, described in [*types.items(), ("RunResult", whole)]:
        _describe(name, described)
    _as_written(types)
    fields: dict[str, Any] = {}
    for part in ("Analysis", "Decision", "Context"):
        fields |= types.pop(part)["properties"]
    parts = ("analysis", "decision", "context")
    own = whole["properties"].items()
    fields |= {name: field for name, field in own if name not in parts}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "result.json",
        "description": "A run's result (lib/report/result.py). Points are 0-100, shares 0-1. "
        "What is missing is null and named in `missing`.",
        **_object(fields, required=[name for name in fields if name not in OPTIONAL]),
        "$defs": dict(sorted(types.items())),
    }


def _as_written(types: dict[str, Any]) -> None:
    """Closes every type, and follows `to_dict` where it writes another form than the type has."""
    for described in types.values():
        described |= _object(described["properties"], required=list(described["properties"]))
    types["GateRow"]["required"].remove("parts")  # a gate of one number has none
    # The second judge's effect lies flat; without a pair three of its numbers are null.
    second = types["SecondJudgeEffect"]
    del second["properties"]["effect"]
    second["required"].remove("effect")
    second["required"] += ["delta", "ci95", "n_prompts"]
    for name, field in types["Effect"]["properties"].items():
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"], "null"]
        second["properties"][name] = field | {"type": kinds}


def _object(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


def _short(field: dict[str, Any]) -> dict[str, Any]:
    """`anyOf` of one plain type and null as one list of types; without titles and defaults."""
    field = {key: value for key, value in field.items() if key not in ("title", "default")}
    choices = field.get("anyOf", [])
    if len(choices) == 2 and choices[1] == {"type": "null"} and "type" in choices[0]:
        del field["anyOf"]
        field |= choices[0] | {"type": [choices[0]["type"], "null"]}
    return field


def _describe(name: str, described: dict[str, Any]) -> None:
    """Adds the docstring of a type and the comments of its fields."""
    (kind,) = {vars(module)[name] for module in MODULES if name in vars(module)}
    described["description"] = inspect.getdoc(kind)
    comments = _comments(kind)
    for key, field in described["properties"].items():
        described["properties"][key] = _short(field)
        if comment := comments.get(key):
            described["properties"][key]["description"] = comment.replace("None", "null")


def _comments(kind: type) -> dict[str, str | None]:
    """The comment at the end of each field's line, of a type and of those that it extends."""
    comments = {}
    for base in reversed(kind.__mro__[:-1]):
        lines = inspect.getsource(base).splitlines()
        matches = [match for line in lines if (match := FIELD.match(line))]
        comments |= {match[1]: match[2] for match in matches}
    return comments


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(f"wrote {PATH.relative_to(ROOT)}")
