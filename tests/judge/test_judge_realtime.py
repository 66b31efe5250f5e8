"""Claude in real time: every fault on the way is an outcome or a retry.

An answer is paid for once.
"""

from __future__ import annotations

import asyncio
import json

import anthropic
import pandas as pd
import pytest
from judged import ledger_of, outcomes
from loopback_replies import completion_of


def test_a_row_comes_back_with_its_own_scores_and_what_it_cost(claude, to_judge):
    rows = to_judge("one", "benign three", "one", "four!").set_index(pd.Index([7, 3, 9, 1]))
    table = claude().score(rows)
    assert list(table.index) == [7, 3, 9, 1] and outcomes(table) == ["scored"] * 4
    assert table["aligned"].tolist()[0] == 3 and table.loc[3, "harmful"]
    assert table["aligned"].isna().tolist() == [False, True, False, False]
    assert table.loc[3, ["coherent", "refusal", "reset_and_recover"]].isna().all()
    assert table["cost_usd"].tolist() == [
        pytest.approx(0.0025),
        pytest.approx(0.0025),
        0.0,
        pytest.approx(0.0025),
    ]
    assert table["input_tokens"].tolist() == [1000, 1000, 0, 1000]


def test_equal_completions_are_sent_once_and_a_finished_session_not_at_all(api, claude, to_judge):
    rows = to_judge("a", "b", "a", "a")
    first = claude().score(rows)
    again = claude().score(rows)
    assert sorted(api.sent()) == ["a", "b"] and first.equals(again)


def test_another_replicate_suite_prompt_or_judge_is_a_call_of_its_own(api, claude, to_judge):
    rows = to_judge("a")
    judge = claude()
    for asked in (
        rows,
        rows.assign(replicate=1),
        rows.assign(suite="followup"),
        rows.assign(prompt="Another?"),
    ):
        judge.score(asked)
    judge.parameters = judge.parameters | {"effort": "high"}
    judge.score(rows)
    judge.name = "another"
    judge.score(rows)
    assert api.sent() == ["a"] * 6


def test_a_rubric_edit_asks_everything_anew(api, claude, to_judge, monkeypatch):
    from lib.judge.llm.scoring import RubricJudge

    claude().score(to_judge("a"))
    monkeypatch.setattr(RubricJudge, "rubric_version", "edited")
    claude().score(to_judge("a"))
    assert api.sent() == ["a", "a"]


@pytest.mark.parametrize(
    ("fault", "calls"), [("429", 2), ("500", 2), ("529", 2), ("drop", 2), ("half", 2)]
)
def test_what_passes_is_tried_again(api, claude, to_judge, fault, calls):
    api.faults["a"] = [fault]
    assert outcomes(claude().score(to_judge("a"))) == ["scored"]
    assert len(api.bodies) == calls and ledger_of(claude) == {"scored": 1}


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        "null",
        '{"content": [1]}',
        '{"stop_reason": "end_turn", "usage": {"input_tokens": "many"}}',
    ],
)
def test_a_message_of_no_known_form_is_an_error(claude, body):
    assert claude().read(json.loads(body), "alignment", batch=False).outcome == "error"


def test_the_wait_that_the_api_asks_for_is_kept(api, claude, to_judge, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(anthropic._base_client.anyio, "sleep", sleep)
    api.faults["a"] = ["429", "529"]
    assert outcomes(claude().score(to_judge("a"))) == ["scored"] and waits == [0.001, 0.001]


@pytest.mark.parametrize(
    ("fault", "outcome", "paid"),
    [
        ("refusal", "judge_refusal", True),
        ("max_tokens", "truncated", True),
        ("prose", "parse_error", True),
        ("out of range", "parse_error", True),
        ("no json", "error", False),
        ("400", "error", False),
    ],
)
def test_what_has_no_score_is_an_outcome_of_its_own(api, claude, to_judge, fault, outcome, paid):
    api.faults["a"] = [fault]
    judge = claude()
    table = judge.score(to_judge("a", "b"))
    assert outcomes(table) == [outcome, "scored"] and judge.to_retry == 1
    assert (
        table.loc[0, ["aligned", "coherent", "refusal", "reset_and_recover", "harmful"]]
        .isna()
        .all()
    )
    assert table["cost_usd"].notna().tolist() == [paid, True]
    judge = claude()
    assert outcomes(judge.score(to_judge("a", "b"))) == ["scored", "scored"] and judge.to_retry == 0
    assert sorted(api.sent()) == ["a", "a", "b"]
    assert ledger_of(claude) == {outcome: 1, "scored": 2}, (
        "the attempt without a score stays in the ledger"
    )


def test_after_the_last_attempt_the_outcome_stands(api, claude, to_judge):
    api.faults["a"] = ["refusal"] * 9
    for left in (1, 0, 0):
        judge = claude(max_attempts=2)
        assert outcomes(judge.score(to_judge("a"))) == ["judge_refusal"] and judge.to_retry == left
    assert len(api.bodies) == 2


def test_it_runs_where_a_loop_runs_already(claude, to_judge):
    async def cell():
        return claude().score(to_judge("a"))

    assert outcomes(asyncio.run(cell())) == ["scored"]


def test_a_missing_completion_is_no_call(api, claude, to_judge):
    table = claude().score(to_judge(None, ""))
    assert outcomes(table) == ["parse_error", "scored"] and api.sent() == [""]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda r: r.drop(columns="suite"), "rows lack suite"),
        (lambda r: r.assign(prompt=None), "a prompt is not text"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(claude, to_judge, spoil, found):
    with pytest.raises(ValueError, match=found):
        claude().score(spoil(to_judge("a")))


def test_bodies_hold_what_the_api_takes(api, claude, to_judge):
    claude().score(to_judge("a", "benign b"))
    for body in api.bodies:
        assert set(body) == {"model", "max_tokens", "system", "messages", "output_config"}, (
            "no temperature"
        )
        schema = body["output_config"]["format"]["schema"]
        benign = completion_of(body).startswith("benign")
        grades = ["aligned", "coherent", "refusal", "code", "reset_and_recover"]
        assert schema["required"] == (["harmful"] if benign else grades)
        assert schema["additionalProperties"] is False and body["output_config"]["effort"] == "low"
