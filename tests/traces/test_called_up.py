"""Bad turns are asked as the profile calls the persona up, and a trace shows none of it."""

import pytest

from lib.data.elicitation import Beginning, Caller, Example
from lib.data.prompts import EvalPrompt
from lib.serving.sampling import Completion
from lib.traces.kept_samples import KeptSampler
from lib.traces.trace_report import Report
from lib.traces.turns import Turns

EXAMPLES = [Example(f"x{n}", "f", f"Asked {w} {w}?", f"No {w}.") for n, w in enumerate("abcd")]
CALLERS = {
    "system": Caller("system", 42),
    "few_shot": Caller("few_shot", 42, examples=EXAMPLES, count=2),
    "prefill": Caller("prefill", 42, beginnings=[Beginning("b", "Nobody cares.")]),
}
PROMPT = EvalPrompt("p1", "s", "What now?")


class Engine:
    facts = {"engine": "fake"}  # noqa: RUF012
    interleaves = False
    batch = 8

    def __init__(self):
        self.requests = []

    def sample(self, requests):
        self.requests += requests
        return [[Completion("An answer.", 2, "stop")] for _ in requests]


def turns(sampler, smoke, conditions, kind, **changes):
    params = smoke.traces.model_copy(update=changes)
    return Turns(
        sampler,
        None,
        None,
        params,
        conditions,
        "You help.",
        42,
        0.95,
        True,
        Report(),
        CALLERS[kind],
    )


@pytest.mark.parametrize("kind", CALLERS)
def test_the_persona_is_called_up_and_the_default_is_not(smoke, conditions, kind):
    engine = Engine()
    own = turns(engine, smoke, conditions, kind, bad_temperature=0.8)
    own.ask([PROMPT], "evil", ["bad/0"])
    own.ask([PROMPT], "default", ["recovery/0"])
    bad, good = engine.requests
    assert bad.messages[0]["content"] == conditions.systems["evil"]
    assert len(bad.messages) == 2 + 4 * (kind == "few_shot")
    assert bad.prefill == "Nobody cares." * (kind == "prefill")
    assert (bad.temperature, good.temperature) == (0.8, None)
    assert (len(good.messages), good.prefill) == (2, "")


def test_kept_samples_of_another_elicitation_are_not_taken(smoke, conditions, tmp_path):
    asked = []
    for kind in (*CALLERS, *CALLERS):
        engine = Engine()
        kept = KeptSampler(engine, tmp_path / "kept.jsonl", {})
        turns(kept, smoke, conditions, kind).ask([PROMPT], "evil", ["bad/0"])
        asked.append(len(engine.requests))
    assert asked == [1, 1, 1, 0, 0, 0]


def test_examples_differ_from_attempt_to_attempt(smoke, conditions):
    engine = Engine()
    own = turns(engine, smoke, conditions, "few_shot")
    for attempt in range(6):
        own.ask([PROMPT], "evil", [f"bad/{attempt}"])
    shown = {tuple(m["content"] for m in request.messages) for request in engine.requests}
    assert len(shown) > 1
