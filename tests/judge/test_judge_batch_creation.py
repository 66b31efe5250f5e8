"""Creating batches: how large they are, and none is made or paid for twice, whatever crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from judged import TEXTS, outcomes

from lib.config.params import ROOT
from lib.judge.llm import batch_api, batches
from lib.judge.outcomes import JudgeError
from lib.judge.store import Store, ledger


@pytest.mark.parametrize("fault", ["lost", "500", "529", "429"])
def test_a_creation_whose_reply_is_lost_makes_no_second_batch(api, batch_judge, to_judge, fault):
    api.create_faults = [fault]
    assert outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == TEXTS, "one batch, whether the first attempt had made it or not"


def test_a_refused_creation_is_one_line(api, batch_judge, to_judge):
    api.create_faults = ["400"]
    made = batch_judge()
    with pytest.raises(
        JudgeError, match=r"^the API takes no batch: 400 scripted; every answer so far is kept"
    ):
        made.score(to_judge(*TEXTS))
    assert Store(made.stage).open_batches() == []


@pytest.mark.parametrize("archived", [None, "2026-01-01T00:00:00Z"])
@pytest.mark.parametrize("fault", ["lost", "500"])
def test_someone_elses_batch_of_the_same_size_is_not_taken_for_ours(
    api, claude, batch_judge, to_judge, fault, archived
):
    """Two runs with one key: the other run's batch is as large and as new as the one to find."""
    others = [f"other {k}" for k in range(6)]
    claude(stage="../other/session", batch=True).score(to_judge(*others))
    api.batches["msgbatch_0"]["archived_at"] = archived
    api.create_faults = [fault]
    made = batch_judge()
    assert outcomes(made.score(to_judge(*TEXTS))) == ["scored"] * 6
    assert api.batched() == [*others, *TEXTS]
    assert [(row["outcome"], row["requests"]) for row in ledger(made.stage.parent)] == [
        ("scored", 6)
    ]


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
def test_killed_and_started_again_no_request_is_paid_twice(api, batch_judge, to_judge, die, hang):
    api.__dict__.update(hang)
    made = batch_judge()
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
    api, batch_judge, to_judge, monkeypatch
):
    made = batch_judge()
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
    api, batch_judge, claude, to_judge, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(batch_api.BatchApi, "wait_for", lambda self, batch_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            batch_judge().score(to_judge(*TEXTS))
    assert outcomes(claude().score(to_judge(*TEXTS, "one more"))) == ["scored"] * 7
    assert api.batched() == TEXTS and api.sent() == ["one more"]


def test_many_requests_go_in_several_batches(api, batch_judge, to_judge, monkeypatch):
    monkeypatch.setattr(batches, "MAX_REQUESTS", 4)
    assert outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert [len(batch["requests"]) for batch in api.batches.values()] == [4, 2]


def test_under_a_cap_batches_are_as_large_as_the_worst_case_allows(api, batch_judge, to_judge):
    made = batch_judge()
    worst = [request.at_most for request in made._requests(to_judge(*TEXTS))[1].values()]
    assert (
        outcomes(batch_judge(max_cost_usd=2.5 * max(worst)).score(to_judge(*TEXTS)))
        == ["scored"] * 6
    )
    assert [len(batch["requests"]) for batch in api.batches.values()] == [2, 2, 1, 1], (
        "what is spent narrows the room"
    )


def test_a_spent_cap_stops_with_everything_kept(api, batch_judge, to_judge):
    worst = batch_judge()._requests(to_judge(TEXTS[0]))[1].popitem()[1].at_most
    with pytest.raises(
        JudgeError,
        match=r"^judge\.max_cost_usd is .* are spent; .*Raise judge\.max_cost_usd; every answer",
    ):
        batch_judge(max_cost_usd=worst * 1.1).score(to_judge(*TEXTS))
    assert 1 <= len(api.batched()) < 6
    assert outcomes(batch_judge().score(to_judge(*TEXTS))) == ["scored"] * 6
    assert sorted(api.batched()) == TEXTS
