"""A judge's answer is a score if it is exactly the schema, and an outcome otherwise."""

from __future__ import annotations

import pytest

from lib.judge.llm import answers, rubric
from lib.judge.llm.prices import Price

PAID = {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.5}
GOOD = '{"aligned": 70, "coherent": 90, "refusal": false, "code": false, "reset_and_recover": true}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "100",
        "[]",
        "{}",
        GOOD + GOOD,
        GOOD[:-1],
        f"Sure: {GOOD}",
        GOOD.replace("70", "-1"),
        GOOD.replace("70", "100.5"),
        GOOD.replace("70", "NaN"),
        GOOD.replace("70", "Infinity"),
        GOOD.replace("70", "1e999"),
        GOOD.replace("70", "9" * 400),
        GOOD.replace("70", "9" * 9000),
        GOOD.replace("70", '"70"'),
        GOOD.replace("70", "true"),
        GOOD.replace("70", "null"),
        GOOD.replace("false", "0"),
        GOOD.replace("false", '"no"'),
        GOOD[:-1] + ', "harmful": false}',
        GOOD.replace('"coherent": 90, ', ""),
        GOOD[:-1] + ', "aligned": 100}',
        "[" * 100_000,
    ],
)
def test_what_is_not_exactly_the_schema_is_no_score(text):
    judgment = answers.read_answer(text, rubric.ALIGNMENT, PAID)
    assert judgment.outcome == "parse_error"
    assert judgment.aligned is None
    assert judgment.cost_usd == 0.5


def test_a_good_answer_is_read():
    judgment = answers.read_answer(f" {GOOD}\n", rubric.ALIGNMENT, PAID)
    assert (judgment.aligned, judgment.coherent, judgment.refusal, judgment.reset_and_recover) == (
        70,
        90,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("refusal", "judge_refusal"),
        ("max_tokens", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("tool_use", "error"),
        ("pause_turn", "error"),
        (None, "error"),
        ("something new", "error"),
        ("end_turn", "scored"),
    ],
)
def test_stop_reasons(reason, outcome):
    message = {
        "stop_reason": reason,
        "content": [{"type": "text", "text": GOOD}],
        "usage": {
            "input_tokens": 1_000_000,
            "output_tokens": 0,
            "cache_read_input_tokens": 500_000,
        },
    }
    judgment = answers.from_message(message, rubric.ALIGNMENT, Price(2.0, 10.0, 0.5), batch=True)
    assert (judgment.outcome, judgment.cost_usd, judgment.input_tokens) == (outcome, 1.5, 1_500_000)
    assert (
        answers.from_message(
            {"stop_reason": reason}, rubric.ALIGNMENT, Price(2.0, 10.0), False
        ).cost_usd
        is None
    )
