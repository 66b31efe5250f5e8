"""Claude in real time, stopped by a service, a key, a person or a kill: no answer is lost."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys

import pytest
from judged import ledger_of, outcomes
from loopback import KEY

from lib.config.params import ROOT
from lib.judge.llm import realtime
from lib.judge.outcomes import JudgeError
from lib.judge.store import Store, ledger


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
