"""Asking several attempts at once: fewer calls, the same traces and the same counts."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_traces import Script

from lib.traces.retries import Retries


class Fickle(Script):
    """About a third of its answers pass: which ones, their text alone decides."""

    def __init__(self):
        super().__init__(score=self.fickle)
        self.calls = 0

    def sample(self, requests):
        self.calls += 1
        return super().sample(requests)

    @staticmethod
    def fickle(text):
        passes = hashlib.sha256(text.encode()).digest()[0] % 3 == 0
        bad = text.startswith("bad")
        return (10.0 if bad == passes else 95.0, 90.0)

    def _answer(self, request):
        # The number of the attempt is part of every text, of a placebo's too.
        return f"{super()._answer(request)} {request.key}"


def texts(units):
    return [(u.prompt.prompt_id, u.bad, u.recovery, u.placebo) for u in units]


@pytest.mark.parametrize("at_once", [5, 64, 10_000])
def test_the_traces_do_not_depend_on_how_many_attempts_are_asked_at_once(build, at_once):
    one_by_one, together = Fickle(), Fickle()
    expected = texts(build(one_by_one, max_attempts=12, count=8))
    counted = build.report
    assert texts(build(together, at_once=at_once, max_attempts=12, count=8)) == expected
    for name in ("attempts", "kept", "refusals", "recoveries_rejected", "placebos_rejected"):
        assert getattr(build.report, name) == getattr(counted, name), name
    assert together.calls < one_by_one.calls


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 60), st.sets(st.integers(0, 8)))
def test_every_attempt_is_asked_once_and_in_order(prompts, most, at_once, stubborn):
    attempts = Retries(dict.fromkeys(map(str, range(prompts)), 0), most, at_once)
    asked: dict[str, list[int]] = {str(number): [] for number in range(prompts)}
    while tries := attempts.next_round():
        assert len(tries) <= max(at_once, prompts)
        for key, attempt in tries:
            asked[key].append(attempt)
        for key in {key for key, _ in tries}:
            if int(key) not in stubborn:
                attempts.end(key)
    for key, numbers in asked.items():
        assert numbers == list(range(len(numbers)))
        assert int(key) not in stubborn or len(numbers) == most


def test_a_prompt_that_begins_later_starts_at_its_own_attempt():
    attempts = Retries({}, 4, 1)
    assert attempts.next_round() == []
    attempts.begin("late", 2)
    assert attempts.next_round() == [("late", 2)]
    assert attempts.next_round() == [("late", 3)]
    assert attempts.next_round() == [] and not attempts.waits("late")
