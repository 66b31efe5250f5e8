"""Claude in real time: every fault on the way is an outcome or a retry.

An answer is paid for once, and a kill loses none.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys

import anthropic
import pandas as pd
import pytest
from loopback import KEY, completion_of

from lib.config.params import ROOT
from lib.judge.llm import limits, realtime
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.store import Store, ledger


def outcomes(table):
    return list(table["outcome"])


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
    from lib.judge.llm import rubric

    claude().score(to_judge("a"))
    monkeypatch.setattr(rubric, "VERSION", "edited")
    claude().score(to_judge("a"))
    assert api.sent() == ["a", "a"]


@pytest.mark.parametrize(
    ("fault", "calls"), [("429", 2), ("500", 2), ("529", 2), ("drop", 2), ("half", 2)]
)
def test_what_passes_is_tried_again(api, claude, to_judge, fault, calls):
    api.faults["a"] = [fault]
    assert outcomes(claude().score(to_judge("a"))) == ["scored"]
    assert len(api.bodies) == calls and ledger_of(claude) == {"scored": 1}


def test_each_push_back_reaches_the_limit_also_those_that_the_sdk_swallows(
    api, claude, to_judge, monkeypatch
):
    told = []
    monkeypatch.setattr(limits.Gate, "pushed_back", lambda self, now: told.append(now))
    api.faults["a"] = ["429", "529", "500"]
    assert outcomes(claude().score(to_judge("a", "b"))) == ["scored"] * 2 and len(told) == 2


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


def test_a_hang_ends_with_the_timeout(api, claude, to_judge, monkeypatch):
    monkeypatch.setattr("lib.judge.llm.claude.RETRIES", 2)
    api.faults["a"] = ["hang"]
    api.faults["b"] = ["hang"] * 3
    assert outcomes(claude(timeout=1.0).score(to_judge("a", "b", "c"))) == [
        "scored",
        "error",
        "scored",
    ]


def test_an_answer_that_never_ends_is_given_up(claude, to_judge, monkeypatch):
    """Dripping bytes keep the client's own clock from running out; the session's does."""
    monkeypatch.setattr("lib.judge.llm.claude.HANG_FACTOR", 0.0)
    assert outcomes(claude().score(to_judge("a"))) == ["error"]


def test_a_service_that_is_down_stops_the_session_and_keeps_what_came(
    api, claude, to_judge, monkeypatch
):
    monkeypatch.setattr("lib.judge.llm.claude.RETRIES", 0)
    for k in range(200):
        api.faults[f"x{k}"] = ["500"]
    with pytest.raises(
        JudgeError, match=r"^50 calls in a row had no answer, last: 500 .*kept; run again"
    ) as caught:
        claude(concurrency=1).score(to_judge("good", *[f"x{k}" for k in range(200)]))
    assert len(api.bodies) == 51 and ledger_of(claude) == {"scored": 1, "error": 50}
    assert "\n" not in str(caught.value)


def test_failures_between_answers_are_no_service_that_is_down(api, claude, to_judge, monkeypatch):
    monkeypatch.setattr("lib.judge.llm.claude.RETRIES", 0)
    monkeypatch.setattr(realtime, "FAILURES_IN_A_ROW", 3)
    texts = [f"{kind} {k}" for k, kind in itertools.product(range(6), ("good", "bad"))]
    for text in texts[1::2]:
        api.faults[text] = ["500"]
    assert outcomes(claude(concurrency=1).score(to_judge(*texts))) == ["scored", "error"] * 6


def test_a_key_that_is_withdrawn_in_mid_session_stops_it(api, claude, to_judge):
    api.faults["b"] = ["401"]
    with pytest.raises(JudgeError, match="rejected the key in ANTHROPIC_API_KEY") as caught:
        claude(concurrency=1).score(to_judge("a", "b", "c"))
    assert KEY not in str(caught.value)
    assert api.sent() == ["a", "b"]
    assert ledger_of(claude) == {"scored": 1}


def test_no_more_calls_are_in_flight_than_asked_for(api, claude, to_judge):
    claude(concurrency=3).score(to_judge(*[f"x{k}" for k in range(40)]))
    assert 1 <= api.most_in_flight <= 3


def test_it_runs_where_a_loop_runs_already(claude, to_judge):
    async def cell():
        return claude().score(to_judge("a"))

    assert outcomes(asyncio.run(cell())) == ["scored"]


@pytest.fixture
def interruptible():
    """Ctrl-C as Python has it; it is switched off in tests that run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_what_came(api, claude, to_judge, interruptible):
    """As a person does it at a notebook, in the middle of a session with a call that hangs."""
    texts = [f"text {k}" for k in range(6)]
    api.faults["text 5"] = ["hang"]
    with pytest.raises(KeyboardInterrupt):
        claude().score(
            to_judge(*texts), lambda done, total: done == 5 and os.kill(os.getpid(), signal.SIGINT)
        )
    api.release.set()
    assert ledger_of(claude) == {"scored": 5}
    assert outcomes(claude().score(to_judge(*texts))) == ["scored"] * 6 and len(api.bodies) == 7


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


def test_the_limit_halves_once_a_burst_and_grows_by_one_a_round():
    gate = limits.Gate(64, limits.Budget(None))
    for _ in range(100):
        gate.pushed_back(now=10.0)
    assert gate.limit == 32
    gate.pushed_back(now=11.0)
    assert gate.limit == 16
    for _ in range(16):
        gate.answered()
    assert 16.9 < gate.limit < 17
    for now in range(20, 40):
        gate.pushed_back(float(now))
    assert gate.limit == 1
    for _ in range(10_000):
        gate.answered()
    assert gate.limit == 64


def test_the_limit_holds_workers_back():
    """Twenty workers and a limit of 2: never more in flight than that, and all get done."""
    gate = limits.Gate(20, limits.Budget(None))
    in_flight = []
    gate.pushed_back(0.0)
    gate.limit = 2.0

    async def call(request):
        in_flight.append(gate.active)
        await asyncio.sleep(0)
        gate.limit = 2.0
        return Judgment("scored", aligned=1.0)

    kept = {}
    requests = [realtime.Request(str(k), "alignment", "", "") for k in range(50)]
    asyncio.run(realtime.run(requests, call, kept.__setitem__, gate))
    assert len(kept) == 50 and max(in_flight) <= 2


def test_killed_and_started_again_no_answer_is_lost_or_asked_twice(api, claude, to_judge, tmp_path):
    """One call at a time; the fifth never comes back, and the process is killed while it waits."""
    texts = [f"text {k}" for k in range(8)]
    api.faults["text 4"] = ["hang"]
    judge = claude(concurrency=1)
    script = (
        "import json, sys; from pathlib import Path; import pandas as pd; "
        "from lib.judge import load_judge; "
        "from lib.config.measurement import JudgeParams; given = json.loads(sys.argv[1]); "
        "judge = load_judge(JudgeParams(**given['params']), Path(given['stage'])); "
        "judge.score(pd.DataFrame(given['rows']))"
    )
    given = {
        "params": judge.params.model_dump(),
        "stage": str(judge.stage),
        "rows": to_judge(*texts).to_dict("records"),
    }
    started = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(given)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    assert api.reached.wait(60)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    api.release.set()
    assert outcomes(judge.score(to_judge(*texts))) == ["scored"] * 8
    assert sorted(api.sent()) == sorted([*texts, "text 4"]), "only the call in flight is made again"


def test_the_store_is_readable_while_a_session_writes(claude, to_judge):
    judge = claude()
    judge.score(to_judge("a"))
    writer = Store(judge.stage)
    writer.db.execute("BEGIN IMMEDIATE")
    assert [row["requests"] for row in ledger(judge.stage.parent)] == [1]
    writer.close()


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


def ledger_of(claude) -> dict:
    """Attempts by outcome in this test's store."""
    return {row["outcome"]: row["requests"] for row in ledger(claude().stage.parent)}
