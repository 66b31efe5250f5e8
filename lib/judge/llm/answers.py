"""Read a judgment from what an API sent back.

A judge's text is untrusted too. A text that does not fit the schema is not a score.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from lib.judge.llm.prices import Price
from lib.judge.llm.rubric import Rubric
from lib.judge.outcomes import Judgment

_STOPPED = {
    "refusal": "judge_refusal",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
}
_FINISHED = ("end_turn", "stop_sequence")
# The opening mark of thoughts may be missing: some chat templates write it before the answer.
_THOUGHT = re.compile(
    r".*</(think|thinking|thought|reasoning|reflection)>", re.DOTALL | re.IGNORECASE
)
_THINKING = re.compile(r"\s*<(think|thinking|thought|reasoning|reflection)>", re.IGNORECASE)
_READER = json.JSONDecoder()


def from_message(message: Mapping[str, Any], rubric: Rubric, price: Price, batch: bool) -> Judgment:
    """The judgment in a message of the Messages API, with its tokens and dollars.

    Args:
        message: the API's JSON.
        rubric: the fields that were asked for.
        price: of the model.
        batch: whether the batch price applies.
    """
    paid = _usage(message, price, batch)
    reason = message.get("stop_reason")
    if reason not in _FINISHED and reason not in _STOPPED:
        return Judgment("error", **paid)
    blocks = message.get("content") or []
    text = "".join(block.get("text") or "" for block in blocks if block.get("type") == "text")
    if reason in _STOPPED:
        return Judgment(_STOPPED[reason], **paid, said=text)
    return read_answer(text, rubric, paid)


def _usage(message: Mapping[str, Any], price: Price, batch: bool) -> dict[str, Any]:
    """Tokens and dollars of a message. Cached tokens count as input."""
    usage = message.get("usage") or {}
    parts = [
        usage.get(name)
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    input_tokens = sum(n for n in parts if n) if parts[0] is not None else None
    output_tokens = usage.get("output_tokens")
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": price.cost(input_tokens, output_tokens, batch),
    }


def read_answer(text: str, rubric: Rubric, paid: Mapping[str, Any]) -> Judgment:
    """A scored judgment from the judge's JSON.

    It is a `parse_error` unless it is exactly what the schema asks for. Thoughts between marks,
    such as <think>, are skipped.

    Args:
        text: what the judge wrote.
        rubric: the fields that were asked for.
        paid: tokens and dollars of the call, as fields of the judgment.
    """
    try:
        answer = json.loads(after_thoughts(text), object_pairs_hook=_once, parse_constant=_refuse)
        if not isinstance(answer, dict) or set(answer) != set(rubric.fields):
            return Judgment("parse_error", **paid, said=text)
        scores: dict[str, Any] = {
            name: _value(answer[name], kind) for name, kind in rubric.fields.items()
        }
        return Judgment("scored", **scores, **paid)
    except (ValueError, OverflowError, RecursionError):
        return Judgment("parse_error", **paid, said=text)


def read_loose_answer(text: str, rubric: Rubric, paid: Mapping[str, Any], shown: str) -> Judgment:
    """As `read_answer`, for models whose output is not forced into the schema.

    Prose and code fences around the JSON are skipped. The answer is the last whole object with the
    rubric's fields after the thoughts. If the last two objects have nothing between them, nobody
    knows which one is meant, and it is a `parse_error`.

    Args:
        shown: what the judge was given to grade. An object that occurs in it is a quotation, never
            the answer, unless the judge says nothing else.
    """
    exact = read_answer(text, rubric, paid)
    answer = after_thoughts(text)
    if exact.outcome == "scored" and answer == text:
        return exact
    quoted = [value for _, _, value in _objects(shown)]
    candidates = [
        (start, end)
        for start, end, value in _objects(answer)
        if set(value) == set(rubric.fields) and value not in quoted
    ]
    if not candidates:
        return Judgment("parse_error", **paid, said=text)
    start, end = candidates[-1]
    if len(candidates) > 1:
        _, end_before = candidates[-2]
        if not answer[end_before:start].strip():
            return Judgment("parse_error", **paid, said=text)
    return read_answer(answer[start:end], rubric, paid)


def after_thoughts(text: str) -> str:
    """What follows the last closing mark of thoughts.

    Empty if thoughts were opened and never closed.
    """
    if closed := _THOUGHT.match(text):
        text = text[closed.end() :]
    return "" if _THINKING.match(text) else text


def _objects(text: str) -> list[tuple[int, int, dict[str, Any]]]:
    """Every outermost JSON object in a text: where it begins and ends, and its value."""
    objects = []
    start = text.find("{")
    while start >= 0:
        try:
            value, end = _READER.raw_decode(text, start)
            objects.append((start, end, value))
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)
    return objects


def _value(value: object, kind: str) -> float | bool:
    """A score of the JSON type that the schema asks for; ValueError for any other value."""
    if isinstance(value, bool):
        if kind == "boolean":
            return value
    elif kind == "integer" and isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)  # Judgment checks its range
    raise ValueError(f"{value!r} is not of JSON type {kind}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which every key occurs once. ValueError otherwise: either could be meant."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader would take."""
    raise ValueError(f"{constant} is not a number")
