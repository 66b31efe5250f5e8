"""From what an API sent back to a judgment. A judge's text is untrusted too: what does not fit the schema is no score."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from lib.judge.llm.prices import Price
from lib.judge.llm.rubric import Rubric
from lib.judge.outcomes import Judgment

_STOPPED = {
    "refusal": "judge_refusal",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
}
_FINISHED = ("end_turn", "stop_sequence")
# A model that thinks aloud may leave out the opening mark: its chat template has set it already.
_THOUGHT = re.compile(
    r".*</(think|thinking|thought|reasoning|reflection)>", re.DOTALL | re.IGNORECASE
)
_THINKING = re.compile(r"\s*<(think|thinking|thought|reasoning|reflection)>", re.IGNORECASE)
_READER = json.JSONDecoder()


def from_message(message: Mapping, rubric: Rubric, price: Price, batch: bool) -> Judgment:
    """The judgment in a message of the Messages API, as plain JSON. Tokens and dollars count whatever the outcome is."""
    usage = message.get("usage") or {}
    read = [
        usage.get(name)
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    tokens = sum(n for n in read if n) if read[0] is not None else None
    written = usage.get("output_tokens")
    paid = {
        "input_tokens": tokens,
        "output_tokens": written,
        "cost_usd": price.cost(tokens, written, batch),
    }
    reason = message.get("stop_reason")
    if reason not in _FINISHED and reason not in _STOPPED:
        return Judgment("error", **paid)
    text = "".join(
        block.get("text") or ""
        for block in message.get("content") or []
        if block.get("type") == "text"
    )
    if reason in _STOPPED:
        return Judgment(_STOPPED[reason], **paid, said=text)
    return read_answer(text, rubric, paid)


def read_answer(text: str, rubric: Rubric, paid: Mapping) -> Judgment:
    """A scored judgment from the judge's JSON, or a `parse_error` when it is not exactly what the schema asks for.

    Thoughts between marks, such as <think>, are skipped; they are no part of the answer.
    """
    try:
        answer = json.loads(after_thoughts(text), object_pairs_hook=_once, parse_constant=_refuse)
        if not isinstance(answer, dict) or set(answer) != set(rubric.fields):
            return Judgment("parse_error", **paid, said=text)
        return Judgment(
            "scored",
            **{name: _value(answer[name], kind) for name, kind in rubric.fields.items()},
            **paid,
        )
    except (ValueError, OverflowError, RecursionError):
        return Judgment("parse_error", **paid, said=text)


def read_loose_answer(text: str, rubric: Rubric, paid: Mapping, shown: str) -> Judgment:
    """As `read_answer`, for models that nothing holds to the schema: prose and code fences around the JSON are skipped.

    The answer is the last whole object with the rubric's fields after the thoughts. shown: what the judge was given to
    grade. An object that stands in it is a quotation, never the answer, unless the judge says nothing else. Objects that
    follow one another with nothing between them leave open which one is meant: a `parse_error`.
    """
    exact, answer = read_answer(text, rubric, paid), after_thoughts(text)
    if exact.outcome == "scored" and answer == text:
        return exact
    quoted = [value for _, _, value in _objects(shown)]
    found = [
        span
        for span in _objects(answer)
        if set(span[2]) == set(rubric.fields) and span[2] not in quoted
    ]
    if not found or (len(found) > 1 and not answer[found[-2][1] : found[-1][0]].strip()):
        return Judgment("parse_error", **paid, said=text)
    start, end, _ = found[-1]
    return read_answer(answer[start:end], rubric, paid)


def after_thoughts(text: str) -> str:
    """What follows the last closing mark of thoughts; nothing where thoughts were opened and never closed."""
    if closed := _THOUGHT.match(text):
        text = text[closed.end() :]
    return "" if _THINKING.match(text) else text


def _objects(text: str) -> list[tuple[int, int, dict]]:
    """Every JSON object in a text that stands in no other one: where it begins and ends, and its value."""
    found, place = [], text.find("{")
    while place >= 0:
        try:
            value, end = _READER.raw_decode(text, place)
            found.append((place, end, value))
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)
    return found


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
