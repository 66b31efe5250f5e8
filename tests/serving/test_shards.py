"""Shards: never sampled twice, never taken for others; several arms in one sitting."""

import itertools

import pandas as pd
import pytest
from recorded_engine import FOLLOW_UP, PROMPTS, Recorder

from lib.data.prompts import EvalPrompt
from lib.serving import shards
from lib.serving.sampling import Completion, SamplingError
from lib.serving.shards import Arm
from lib.serving.suites import suite_rows


def test_finished_shards_are_never_sampled_again(draw, tmp_path):
    done = []
    first = draw(Recorder(), progress=lambda *step: done.append(step))
    assert done == [(3, 6), (6, 6)] and list(first.columns) == shards.SAMPLE_COLUMNS
    assert first["completion"].tolist() == [
        f"42/base/alignment/{p}/{i}" for p, i in itertools.product(("p1", "p2"), range(3))
    ]
    pd.testing.assert_frame_equal(draw(Recorder(None)), first)

    lost = sorted(tmp_path.iterdir())[1]
    lost.unlink()
    resumed = Recorder()
    pd.testing.assert_frame_equal(draw(resumed), first)
    assert resumed.asked == 3, "only the lost shard is sampled again"


@pytest.mark.parametrize("how", ["edited", "cut off", "a row less"])
def test_a_shard_that_was_changed_is_sampled_again(draw, tmp_path, how):
    first = draw(Recorder())
    path = sorted(tmp_path.iterdir())[0]
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:300])
    else:
        frame = pd.read_parquet(path)
        changed = frame.assign(completion="edited") if how == "edited" else frame.head(2)
        changed.to_parquet(path, index=False)
    resumed = Recorder()
    pd.testing.assert_frame_equal(draw(resumed), first)
    assert resumed.asked == 3, "only the changed shard"


def test_an_empty_completion_is_a_row(draw):
    made = draw(Recorder(lambda key: Completion("", 0, "stop")))
    assert made["completion"].tolist() == [""] * 6 and made["n_tokens"].tolist() == [0] * 6
    pd.testing.assert_frame_equal(draw(Recorder(None)), made)


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": {"adapter": "other", "temperature": 1.0}},
        {"inputs": {"adapter": None, "temperature": 0.9}},
        {"seed": 43},
        {"arm": "other"},
        {"max_new_tokens": 9},
        {"suite": "benign"},
    ],
    ids=str,
)
def test_shards_of_other_inputs_are_never_taken(draw, changed):
    draw(Recorder())
    again = Recorder()
    draw(again, **changed)
    assert again.asked == 6


def test_shards_of_another_follow_up_or_other_answers_are_never_taken(draw):
    own = draw(Recorder())
    draw(Recorder(), suite="followup", answers=own)
    for changed in ({"follow_up": "go on"}, {"answers": own.assign(completion="changed")}):
        again = Recorder()
        draw(again, **{"suite": "followup", "answers": own, **changed})
        assert again.asked == 6, changed


@pytest.mark.parametrize("shard", [2, 3, 100])
def test_another_shard_size_neither_doubles_nor_loses_rows(draw, shard):
    """A killed run that continues with another `sampling.shard` finds shards of the old size."""
    pd.testing.assert_frame_equal(draw(Recorder()), draw(Recorder(), shard=shard))


def arms(*names, samples=3):
    return {
        name: Arm(suite_rows("alignment", PROMPTS, "Be good.", samples), name, {"adapter": name})
        for name in names
    }


def suite(sampler, folder, asked, shard=100):
    return shards.sample_suite(
        sampler, asked, seed=42, max_new_tokens=8, follow_up=FOLLOW_UP, shard=shard, folder=folder
    )


def test_arms_are_asked_side_by_side_in_one_call_where_the_engine_mixes_them(tmp_path):
    engine = Recorder()
    made = suite(engine, tmp_path, arms("one", "two"))
    assert [(r.adapter, r.key, r.samples) for r in engine.requests] == [
        (name, f"42/{name}/alignment/{prompt}", 3)
        for prompt, name in itertools.product(("p1", "p2"), ("one", "two"))
    ]
    assert engine.calls == 1 and list(made) == ["one", "two"]
    assert made["two"]["completion"].tolist() == [
        f"42/two/alignment/{p}/{i}" for p, i in itertools.product(("p1", "p2"), range(3))
    ]


def test_arms_are_asked_one_after_the_other_where_adapters_are_switched(tmp_path):
    engine = Recorder(interleaves=False)
    suite(engine, tmp_path, arms("one", "two"))
    assert engine.calls == 2 and [r.adapter for r in engine.requests] == [
        "one",
        "one",
        "two",
        "two",
    ]


def test_a_kill_between_shards_loses_one_and_another_arm_takes_none(tmp_path):
    """Two arms, shards of a prompt each; the engine dies in the second shard."""

    def dying(key):
        if "p2" in key:
            raise KeyboardInterrupt
        return Completion(key, 3, "stop")

    with pytest.raises(KeyboardInterrupt):
        suite(Recorder(dying), tmp_path, arms("one", "two"), shard=6)
    engine = Recorder()
    made = suite(engine, tmp_path, arms("one", "two"), shard=6)
    assert sorted(r.key for r in engine.requests) == ["42/one/alignment/p2", "42/two/alignment/p2"]
    assert [len(frame) for frame in made.values()] == [6, 6]
    third = Recorder()
    suite(third, tmp_path, arms("one", "two", "three"), shard=9)
    assert {r.adapter for r in third.requests} == {"three"}, "a new arm changes no other's shards"


def test_an_engine_that_loses_a_sample_is_refused(tmp_path):
    class Losing(Recorder):
        def sample(self, requests):
            return [samples[1:] for samples in super().sample(requests)]

    with pytest.raises(SamplingError, match="4 completions for 6 rows"):
        suite(Losing(), tmp_path, arms("one"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at_most", [1, 3, 4, 6, 100])
def test_pieces_hold_whole_prompts_in_order(at_most):
    rows = suite_rows(
        "alignment", [EvalPrompt(f"p{i}", "s", "?") for i in (2, 1, 3)], "Be good.", 3
    )
    pieces = shards.whole_prompts(rows, at_most)
    pd.testing.assert_frame_equal(pd.concat(pieces), rows)
    assert all(len(piece) % 3 == 0 and len(piece) <= max(3, at_most) for piece in pieces)
