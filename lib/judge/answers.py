"""From what an API sent back to a judgment. A judge's text is untrusted too: what does not fit the schema is no score."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from lib.judge.outcomes import Judgment
from lib.judge.prices import Price
from lib.judge.rubric import Rubric

_STOPPED = {"refusal": "judge_refusal", "max_tokens": "truncated", "model_context_window_exceeded": "truncated"}
_FINISHED = ("end_turn", "stop_sequence")


def from_message(message: Mapping, rubric: Rubric, price: Price, batch: bool) -> Judgment:
    """The judgment in a message of the Messages API, as plain JSON. Tokens and dollars count whatever the outcome is."""
    usage = message.get("usage") or {}
    read = [usage.get(name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    tokens = sum(n for n in read if n) if read[0] is not None else None
    written = usage.get("output_tokens")
    paid = {"input_tokens": tokens, "output_tokens": written, "cost_usd": price.cost(tokens, written, batch)}
    reason = message.get("stop_reason")
    if reason in _STOPPED:
        return Judgment(_STOPPED[reason], **paid)
    if reason not in _FINISHED:
        return Judgment("error", **paid)
    text = "".join(block.get("text") or "" for block in message.get("content") or [] if block.get("type") == "text")
    return read_answer(text, rubric, paid)


def read_answer(text: str, rubric: Rubric, paid: Mapping) -> Judgment:
    """A scored judgment from the judge's JSON, or a `parse_error` when it is not exactly what the schema asks for."""
    try:
        answer = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        if not isinstance(answer, dict) or set(answer) != set(rubric.fields):
            return Judgment("parse_error", **paid)
        return Judgment("scored", **{name: _value(answer[name], kind) for name, kind in rubric.fields.items()}, **paid)
    except (ValueError, OverflowError, RecursionError):
        return Judgment("parse_error", **paid)


def _value(value, kind: str):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "integer" and number and math.isfinite(value):
        return float(value)  # its range is Judgment's to check
    if kind == "boolean" and isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is no {kind}")


def _once(pairs: list[tuple]) -> dict:
    """An object whose every key stands once: with two values for a score there is no telling which one is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str):
    raise ValueError(f"{constant} is no number")
