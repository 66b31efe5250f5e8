"""How many calls are in flight: the limit falls when the API pushes back, and grows again."""

from __future__ import annotations

import asyncio

from judged import outcomes

from lib.judge.llm import limits, realtime
from lib.judge.outcomes import Judgment


def test_each_push_back_reaches_the_limit_also_those_that_the_sdk_swallows(
    api, claude, to_judge, monkeypatch
):
    told = []
    monkeypatch.setattr(limits.Gate, "pushed_back", lambda self, now: told.append(now))
    api.faults["a"] = ["429", "529", "500"]
    assert outcomes(claude().score(to_judge("a", "b"))) == ["scored"] * 2 and len(told) == 2


def test_no_more_calls_are_in_flight_than_asked_for(api, claude, to_judge):
    claude(concurrency=3).score(to_judge(*[f"x{k}" for k in range(40)]))
    assert 1 <= api.most_in_flight <= 3


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
