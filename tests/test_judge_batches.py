"""The batch interface: results by custom id in any order, and faults are sent again.

No batch is paid for twice, whatever crashes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from lib.config.params import ROOT
from lib.judge.llm import batch_api, batches
from lib.judge.outcomes import JudgeError
from lib.judge.store import Store, ledger

TEXTS = [f"text {k}" + "x" * k for k in range(6)]


@pytest.fixture
def judge(claude):
    return lambda **changes: claude(batch=True, **changes)


def outcomes(table):
    return list(table["outcome"])


def test_results_come_in_another_order_and_meet_their_rows(api, judge, to_judge):
    table = judge().score(to_judge(*TEXTS, "benign"))
    assert table["aligned"].tolist()[:6] == [len(text) for text in TEXTS]
    assert table["harmful"].tolist()[6]
    assert len(api.batches) == 1 and not api.bodies
    assert table["cost_usd"].tolist() == [pytest.approx(0.00125)] * 7, (
        "half of the price in real time"
    )
    again = judge().score(to_judge(*TEXTS, "benign"))
    assert again.equals(table) and len(api.batches) == 1


def test_custom_ids_are_what_the_api_takes(api, judge, to_judge):
    judge().score(to_judge(*TEXTS))
    ids = [r["custom_id"] for r in api.batches["msgbatch_0"]["requests"]]
    assert len(set(ids)) == 6
    assert all(len(id) <= 64 and set(id) <= set("0123456789abcdef-") for id in ids)


def test_a_batch_not_found_just_after_its_creation_is_waited_for(api, judge, to_judge):
    api.not_found = 3
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6 and len(api.batches) == 1


@pytest.mark.parametrize("fault", ["expired", "errored", "canceled", "missing"])
def test_what_had_no_answer_is_sent_again_and_nothing_else(api, judge, to_judge, fault):
    api.faults[TEXTS[2]] = [fault]
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [*TEXTS, TEXTS[2]]


@pytest.mark.parametrize(("fault", "outcome"), [("expired", "expired"), ("errored", "error")])
def test_up_to_the_limit_and_then_it_stands(api, judge, to_judge, fault, outcome):
    api.faults[TEXTS[0]] = [fault] * 9
    # A batch in which all requests fail stops the session: the request is at fault, not the text.
    # So this batch holds another request too.
    api.faults[TEXTS[1]] = [fault, fault]
    made = judge(max_attempts=3)
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
def test_what_was_paid_without_a_score_waits_for_the_next_run(api, judge, to_judge, fault, outcome):
    api.faults[TEXTS[0]] = [fault]
    made = judge()
    assert outcomes(made.score(to_judge(*TEXTS))) == [outcome, *["scored"] * 5]
    assert made.to_retry == 1
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [
        *TEXTS,
        TEXTS[0],
    ]
    assert sum(row["cost_usd"] for row in ledger(made.stage.parent)) == pytest.approx(7 * 0.00125)


def test_every_request_refused_by_the_api_stops_with_its_reason(api, judge, to_judge):
    for text in TEXTS:
        api.faults[text] = ["errored"] * 9
    with pytest.raises(
        JudgeError,
        match=r"^every request of batch msgbatch_0 failed, first: scripted; every answer so far",
    ):
        judge().score(to_judge(*TEXTS))
    assert len(api.batches) == 1


@pytest.mark.parametrize("fault", ["lost", "500", "529", "429"])
def test_a_creation_whose_reply_is_lost_makes_no_second_batch(api, judge, to_judge, fault):
    api.create_faults = [fault]
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == TEXTS, "one batch, whether the first attempt had made it or not"


def test_a_refused_creation_is_one_line(api, judge, to_judge):
    api.create_faults = ["400"]
    made = judge()
    with pytest.raises(
        JudgeError, match=r"^the API takes no batch: 400 scripted; every answer so far is kept"
    ):
        made.score(to_judge(*TEXTS))
    assert Store(made.stage).open_batches() == []


@pytest.mark.parametrize("archived", [None, "2026-01-01T00:00:00Z"])
@pytest.mark.parametrize("fault", ["lost", "500"])
def test_someone_elses_batch_of_the_same_size_is_not_taken_for_ours(
    api, claude, judge, to_judge, fault, archived
):
    """Two runs with one key: the other run's batch is as large and as new as the one to find."""
    others = [f"other {k}" for k in range(6)]
    claude(stage="../other/session", batch=True).score(to_judge(*others))
    api.batches["msgbatch_0"]["archived_at"] = archived
    api.create_faults = [fault]
    made = judge()
    assert outcomes(made.score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [*others, *TEXTS]
    assert [(row["outcome"], row["requests"]) for row in ledger(made.stage.parent)] == [
        ("scored", 6)
    ]


@pytest.mark.parametrize("faults", [["half"], ["half"] * 3])
def test_half_a_body_of_results_is_read_again(api, judge, to_judge, faults):
    api.result_faults = list(faults)
    table = judge().score(to_judge(*TEXTS))
    assert outcomes(table) == ["scored"] * 6 and len(api.batches) == 1
    assert sum(row["requests"] for row in ledger(judge().stage.parent)) == 6


def test_results_that_the_api_no_longer_keeps_are_expired(api, judge, to_judge):
    made = judge()
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


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import pandas as pd
from lib.config.measurement import JudgeParams
from lib.judge import load_judge
from lib.judge.llm import batch_api
from lib.judge.store import Store
given = json.loads(sys.argv[1])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
batch_api.pause = die if given["die"] == "poll" else lambda seconds: None
if given["die"] == "intend":
    intend = Store.intend
    Store.intend = lambda *a: (intend(*a), die())
load_judge(JudgeParams(**given["params"]), Path(given["stage"])).score(pd.DataFrame(given["rows"]))
"""


@pytest.mark.parametrize(
    ("die", "hang"),
    [
        ("intend", {}),
        ("", {"create_faults": ["hang"]}),
        ("poll", {}),
        ("", {"result_faults": ["hang"]}),
    ],
    ids=[
        "before the API heard of it",
        "before its id was known",
        "while it was worked on",
        "while its results were read",
    ],
)
def test_killed_and_started_again_no_request_is_paid_twice(api, judge, to_judge, die, hang):
    api.__dict__.update(hang)
    made = judge()
    given = {
        "params": made.params.model_dump(),
        "stage": str(made.stage),
        "die": die,
        "rows": to_judge(*TEXTS).to_dict("records"),
    }
    started = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(given)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if hang:
        assert api.reached.wait(60)
        os.kill(started.pid, signal.SIGKILL)
    assert started.wait(60) == -signal.SIGKILL
    api.release.set()
    assert outcomes(made.score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == TEXTS
    assert {row["outcome"]: row["requests"] for row in ledger(made.stage.parent)} == {"scored": 6}


def test_a_batch_is_on_disk_with_its_requests_before_the_first_poll(
    api, judge, to_judge, monkeypatch
):
    made = judge()
    on_disk = []

    def look_and_die(self, batch_id):
        on_disk.extend(Store(made.stage).open_batches())
        raise ZeroDivisionError

    monkeypatch.setattr(batch_api.BatchApi, "wait_for", look_and_die)
    with pytest.raises(ZeroDivisionError):
        made.score(to_judge(*TEXTS))
    (batch,) = on_disk
    assert batch.id == "msgbatch_0"
    assert set(batch.suites) == set(made._requests(to_judge(*TEXTS))[1])


def test_real_time_collects_the_batch_of_an_earlier_start_first(
    api, judge, claude, to_judge, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(batch_api.BatchApi, "wait_for", lambda self, batch_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            judge().score(to_judge(*TEXTS))
    assert outcomes(claude().score(to_judge(*TEXTS, "one more"))) == ["scored"] * 7
    assert api.batched() == TEXTS and api.sent() == ["one more"]


def test_many_requests_go_in_several_batches(api, judge, to_judge, monkeypatch):
    monkeypatch.setattr(batches, "MAX_REQUESTS", 4)
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert [len(batch["requests"]) for batch in api.batches.values()] == [4, 2]


def test_under_a_cap_batches_are_as_large_as_the_worst_case_allows(api, judge, to_judge):
    made = judge()
    worst = [request.at_most for request in made._requests(to_judge(*TEXTS))[1].values()]
    assert outcomes(judge(max_cost_usd=2.5 * max(worst)).score(to_judge(*TEXTS))) == ["scored"] * 6
    assert [len(batch["requests"]) for batch in api.batches.values()] == [2, 2, 1, 1], (
        "what is spent narrows the room"
    )


def test_a_spent_cap_stops_with_everything_kept(api, judge, to_judge):
    worst = judge()._requests(to_judge(TEXTS[0]))[1].popitem()[1].at_most
    with pytest.raises(
        JudgeError,
        match=r"^judge\.max_cost_usd is .* are spent; .*Raise judge\.max_cost_usd; every answer",
    ):
        judge(max_cost_usd=worst * 1.1).score(to_judge(*TEXTS))
    assert 1 <= len(api.batched()) < 6
    assert outcomes(judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert sorted(api.batched()) == TEXTS


def test_waits_grow_to_a_bound():
    waits = [batch_api.wait(k) for k in range(50)]
    assert waits[0] == batch_api.FIRST_POLL and waits[-1] == batch_api.LAST_POLL
    assert waits == sorted(waits)
    assert timedelta(seconds=sum(waits[:4])) < timedelta(minutes=1)
