"""The batch interface: results by custom id in any order, and faults are sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from judged import TEXTS, outcomes

from lib.judge.llm import batch_api
from lib.judge.outcomes import JudgeError
from lib.judge.store import Store, ledger


def test_results_come_in_another_order_and_meet_their_rows(api, batch_judge, to_judge):
    table = batch_judge().score(to_judge(*TEXTS, "benign"))
    assert table["aligned"].tolist()[:6] == [len(text) for text in TEXTS]
    assert table["harmful"].tolist()[6]
    assert len(api.batches) == 1 and not api.bodies
    assert table["cost_usd"].tolist() == [pytest.approx(0.00125)] * 7, (
        "half of the price in real time"
    )
    again = batch_judge().score(to_judge(*TEXTS, "benign"))
    assert again.equals(table) and len(api.batches) == 1


def test_custom_ids_are_what_the_api_takes(api, batch_judge, to_judge):
    batch_judge().score(to_judge(*TEXTS))
    ids = [r["custom_id"] for r in api.batches["msgbatch_0"]["requests"]]
    assert len(set(ids)) == 6
    assert all(len(id) <= 64 and set(id) <= set("0123456789abcdef-") for id in ids)


def test_a_batch_not_found_just_after_its_creation_is_waited_for(api, batch_judge, to_judge):
    api.not_found = 3
    assert (
        outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6 and len(api.batches) == 1
    )


@pytest.mark.parametrize("fault", ["expired", "errored", "canceled", "missing"])
def test_what_had_no_answer_is_sent_again_and_nothing_else(api, batch_judge, to_judge, fault):
    api.faults[TEXTS[2]] = [fault]
    assert outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [*TEXTS, TEXTS[2]]


@pytest.mark.parametrize(("fault", "outcome"), [("expired", "expired"), ("errored", "error")])
def test_up_to_the_limit_and_then_it_stands(api, batch_judge, to_judge, fault, outcome):
    api.faults[TEXTS[0]] = [fault] * 9
    # A batch in which all requests fail stops the session: the request is at fault, not the text.
    # So this batch holds another request too.
    api.faults[TEXTS[1]] = [fault, fault]
    made = batch_judge(max_attempts=3)
    table = (
        made.score(to_judge(*TEXTS[:2]))
        if fault == "expired"
        else score_through(made, to_judge(*TEXTS[:2]))
    )
    assert outcomes(table) == [outcome, "scored"] and made.to_retry == 0
    assert len(api.batched()) == 6


def score_through(judge, rows):
    """Goes on after sessions that stop because every request of a batch failed."""
    while True:
        try:
            return judge.score(rows)
        except JudgeError as error:
            assert "every request of batch" in str(error)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("refusal", "judge_refusal"), ("max_tokens", "truncated"), ("prose", "parse_error")],
)
def test_what_was_paid_without_a_score_waits_for_the_next_run(
    api, batch_judge, to_judge, fault, outcome
):
    api.faults[TEXTS[0]] = [fault]
    made = batch_judge()
    assert outcomes(made.score(to_judge(*TEXTS))) == [outcome, *["scored"] * 5]
    assert made.to_retry == 1
    assert outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [
        *TEXTS,
        TEXTS[0],
    ]
    assert sum(row["cost_usd"] for row in ledger(made.stage.parent)) == pytest.approx(7 * 0.00125)


def test_every_request_refused_by_the_api_stops_with_its_reason(api, batch_judge, to_judge):
    for text in TEXTS:
        api.faults[text] = ["errored"] * 9
    with pytest.raises(
        JudgeError,
        match=r"^every request of batch msgbatch_0 failed, first: scripted; every answer so far",
    ):
        batch_judge().score(to_judge(*TEXTS))
    assert len(api.batches) == 1


@pytest.mark.parametrize("faults", [["half"], ["half"] * 3])
def test_half_a_body_of_results_is_read_again(api, batch_judge, to_judge, faults):
    api.result_faults = list(faults)
    table = batch_judge().score(to_judge(*TEXTS))
    assert outcomes(table) == ["scored"] * 6 and len(api.batches) == 1
    assert sum(row["requests"] for row in ledger(batch_judge().stage.parent)) == 6


def test_results_that_the_api_no_longer_keeps_are_expired(api, batch_judge, to_judge):
    made = batch_judge()
    store = Store(made.stage)
    api.create_faults = ["500"]
    batch = store.intend(
        "0" * 16,
        made.name,
        made.rubric,
        {key: "alignment" for key in made._requests(to_judge(*TEXTS))[1]},
    )
    store.created(batch.marker, "msgbatch_0")
    api.batches["msgbatch_0"] = {
        "requests": [],
        "polls": 9,
        "not_found": 0,
        "created_at": datetime.now(UTC),
        "archived_at": "2026-01-01T00:00:00Z",
    }
    assert outcomes(made.score(to_judge(*TEXTS))) == ["scored"] * 6
    assert {row["outcome"]: row["requests"] for row in ledger(made.stage.parent)} == {
        "expired": 6,
        "scored": 6,
    }


def test_waits_grow_to_a_bound():
    waits = [batch_api.wait(k) for k in range(50)]
    assert waits[0] == batch_api.FIRST_POLL and waits[-1] == batch_api.LAST_POLL
    assert waits == sorted(waits)
    assert timedelta(seconds=sum(waits[:4])) < timedelta(minutes=1)
