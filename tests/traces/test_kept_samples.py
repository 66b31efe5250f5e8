"""Completions that outlive a stop: none is sampled twice, and none of other inputs is taken."""

import dataclasses
import itertools
import json

import pytest

from lib.serving.sampling import Completion, Request
from lib.traces.kept_samples import KeptSampler


class Engine:
    """Answers with its number of calls; fails at the call that a test names."""

    interleaves = False

    def __init__(self, batch=2, fails_at=None, version="1"):
        self.facts = {"engine": "e", "version": version}
        self.batch = batch
        self.asked = []
        self.fails_at = fails_at

    def sample(self, requests):
        if len(self.asked) == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append([request.key for request in requests])
        return [
            [
                Completion(f"{request.key} – {k} \u2028 😀", k, "stop")
                for k in range(request.samples)
            ]
            for request in requests
        ]


def request(key, **changes):
    return dataclasses.replace(
        Request(key, [{"role": "user", "content": "Hello"}], None, 16), **changes
    )


REQUESTS = [request(f"k{n}", samples=1 + n % 2) for n in range(5)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "traces" / "sampled.jsonl"


def keys(engine):
    return list(itertools.chain(*engine.asked))


def test_a_second_start_asks_for_nothing(path):
    engine = Engine()
    again = Engine()
    made = KeptSampler(engine, path, {}).sample(REQUESTS)
    assert [len(part) for part in engine.asked] == [2, 2, 1] and made == Engine().sample(REQUESTS)
    assert KeptSampler(again, path, {}).sample(REQUESTS[::-1]) == made[::-1] and again.asked == []


def test_a_kill_loses_at_most_the_batch_in_hand(path):
    with pytest.raises(KeyboardInterrupt):
        KeptSampler(Engine(fails_at=2), path, {}).sample(REQUESTS)
    again = Engine()
    assert KeptSampler(again, path, {}).sample(REQUESTS) == Engine().sample(REQUESTS) and keys(
        again
    ) == ["k4"]


def edited(text):
    """The last line with another completion, as an editor would leave it."""
    *lines, last = text.splitlines()
    row = json.loads(last)
    row["samples"][0]["text"] = "edited"
    return "\n".join([*lines, json.dumps(row)]) + "\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-20],
        lambda text: text + '{"key": "',
        lambda text: "\x00\n" + text,
        lambda text: text + "[]\n{}\n\n",
        lambda text: text.rstrip("\n"),
        edited,
    ],
    ids=[
        "last line torn",
        "a line begun",
        "a first line of noise",
        "other lines",
        "no last end",
        "a completion edited",
    ],
)
def test_a_torn_line_is_passed_over_and_the_next_is_whole(path, spoil):
    KeptSampler(Engine(), path, {}).sample(REQUESTS[:3])
    path.write_text(spoil(path.read_text()))
    engine = Engine()
    again = Engine()
    assert KeptSampler(engine, path, {}).sample(REQUESTS) == Engine().sample(REQUESTS)
    assert set(keys(engine)) in ({"k3", "k4"}, {"k2", "k3", "k4"})
    assert (
        KeptSampler(again, path, {}).sample(REQUESTS) == Engine().sample(REQUESTS)
        and again.asked == []
    )


@pytest.mark.parametrize(
    ("engine", "inputs", "asked"),
    [
        (Engine(version="2"), {}, REQUESTS[0]),
        (Engine(), {"base": "b"}, REQUESTS[0]),
        (Engine(), {}, request("k0", max_new_tokens=17)),
        (Engine(), {}, request("k0", samples=2)),
        (Engine(), {}, request("other")),
        (Engine(), {}, request("k0", adapter="a")),
        (Engine(), {}, request("k0", messages=[{"role": "user", "content": "Hello!"}])),
    ],
    ids=["engine", "base", "limit", "samples", "key", "adapter", "messages"],
)
def test_whatever_decides_a_completion_decides_whether_it_is_taken(path, engine, inputs, asked):
    KeptSampler(Engine(), path, {}).sample(REQUESTS[:1])
    KeptSampler(engine, path, inputs).sample([asked])
    assert len(engine.asked) == 1


@pytest.mark.parametrize(("serves", "at_once", "asked"), [(False, 1, [2, 2, 1]), (True, 8, [5])])
def test_a_serving_engine_gets_several_batches_at_once(path, serves, at_once, asked):
    engine = Engine(batch=2)
    engine.interleaves = serves
    kept = KeptSampler(engine, path, {})
    kept.sample(REQUESTS)
    assert kept.at_once == at_once
    assert [len(part) for part in engine.asked] == asked
