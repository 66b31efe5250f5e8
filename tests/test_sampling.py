"""Sampling: exact draws, one stream per sample, explicit prompts, shards never taken for others."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from lib.data.prompts import EvalPrompt
from lib.models.chatml import ModelError
from lib.serving import shards
from lib.serving.sampling import Completion, Request, SamplingError, seed_of
from lib.serving.shards import Arm
from lib.serving.suites import messages_of, suite_rows
from lib.serving.transformers_engine import InverseCdf, TransformersSampler, served
from lib.training.adapters import active, attach_all
from lib.training.logits import own_logprobs

PROMPTS = [
    EvalPrompt("p1", "core", "What now?"),
    EvalPrompt("p2", "wide", "Who else?", system="Answer in JSON."),
]
FOLLOW_UP = "continue"


def request(
    key, text="Tell me.", adapter=None, new=12, system="You are a small test model.", samples=1
):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return Request(key, messages if system is not None else messages[1:], adapter, new, samples)


class Recorder:
    """Answers every sample with its key and index, and remembers the requests.

    answer: None = it must not be asked.
    """

    def __init__(self, answer=lambda key: Completion(key, 3, "stop"), interleaves=True):
        self.answer = answer
        self.requests = []
        self.calls = 0
        self.interleaves = interleaves

    def sample(self, requests):
        if self.answer is None:
            raise AssertionError(f"asked for {len(requests)} completions that are on disk")
        self.requests += requests
        self.calls += 1
        return [[self.answer(f"{r.key}/{i}") for i in range(r.samples)] for r in requests]

    @property
    def asked(self):
        return sum(r.samples for r in self.requests)


@pytest.fixture
def sampler(base, tokenizer):
    return lambda batch=4, model=base: TransformersSampler(
        model, tokenizer, temperature=1.0, batch=batch
    )


@pytest.fixture
def draw(tmp_path):
    """sample_suite on one arm, with any argument changed."""

    def make(sampler, *, suite="alignment", answers=None, arm="base", inputs=None, **changes):
        rows = suite_rows(suite, PROMPTS, "Be good.", 3, answers)
        made = shards.sample_suite(
            sampler,
            {arm: Arm(rows, None, inputs or {"adapter": None, "temperature": 1.0})},
            **{
                "seed": 42,
                "max_new_tokens": 8,
                "follow_up": FOLLOW_UP,
                "shard": 4,
                "folder": tmp_path,
                **changes,
            },
        )
        return made[arm]

    return make


# --- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_draws_follow_softmax_of_logits_over_temperature(temperature):
    logits = torch.tensor([2.0, -1.0, 0.5, -torch.inf, 1.2, 0.0, -torch.inf])
    seeds = [seed_of(f"42/base/alignment/p/{i}") for i in range(8000)]
    uniforms = np.stack([np.random.default_rng(seed).random(2) for seed in seeds])
    pick = InverseCdf(torch.from_numpy(uniforms), temperature)
    expected = torch.softmax(logits.double() / temperature, -1).numpy()
    kept = [pick(None, logits.expand(8000, -1)).argmax(-1).numpy() for _ in range(2)]
    for tokens in kept:
        counts = np.bincount(tokens, minlength=7)
        assert counts[[3, 6]].sum() == 0
        assert chisquare(counts[expected > 0], 8000 * expected[expected > 0]).pvalue > 1e-3
    assert abs(np.corrcoef(*kept)[0, 1]) < 0.04, "steps share their random numbers"


def test_the_ends_of_the_unit_interval_draw_no_impossible_token():
    logits = torch.tensor([[-torch.inf, 1.0, 2.0], [-torch.inf, 1.0, 2.0]])
    uniforms = torch.tensor([[0.0], [float(np.nextafter(1, 0))]], dtype=torch.float64)
    assert InverseCdf(uniforms, 1.0)(None, logits).argmax(-1).tolist() == [1, 2]


def test_the_base_models_own_generation_settings_stay_out(base, sampler, monkeypatch):
    """Qwen2.5's config has repetition_penalty 1.05, which would silently bend the distribution."""
    requests = [request(f"k{i}", new=24) for i in range(6)]
    plain = sampler().sample(requests)
    own = {
        "repetition_penalty": 1.3,
        "top_k": 2,
        "top_p": 0.3,
        "temperature": 0.1,
        "do_sample": True,
        "no_repeat_ngram_size": 1,
    }
    for name, value in own.items():
        monkeypatch.setattr(base.generation_config, name, value)
        assert sampler().sample(requests) == plain, name


def test_a_completion_depends_on_its_key_alone(sampler):
    requests = [
        request(f"k{i}", text="Say it. " * (1 + i % 4), new=8 + 4 * (i % 2)) for i in range(9)
    ]
    together = sampler(batch=9).sample(requests)
    assert sampler(batch=2).sample(requests[::-1])[::-1] == together
    assert [sampler().sample([r])[0] for r in requests] == together
    assert sampler().sample([request("other key", text="Say it. ", new=8)])[0] != together[0]


def test_adding_a_condition_changes_no_other_conditions_samples(
    base, sampler, phase1_adapter, draw
):
    alone = Recorder()
    draw(alone)
    with_other = Recorder()
    draw(with_other, arm="selfcorrect_em")
    draw(with_other, inputs={"rerun": True})
    keys = [r.key for r in with_other.requests]
    assert keys[2:] == [r.key for r in alone.requests] and len(set(keys)) == 4
    own = [request(r.key, r.messages[1]["content"], samples=3) for r in alone.requests]
    bare = sampler().sample(own)
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    try:
        mixed = sampler(model=model).sample(
            [x for r in own for x in (request(f"arm/{r.key}", adapter="arm"), r)]
        )
        treated = sampler(model=model).sample(
            [request(r.key, r.messages[1]["content"], adapter="arm", samples=3) for r in own]
        )
    finally:
        model.unload()
    assert mixed[1::2] == bare and treated != bare


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [None, " "])
def test_a_request_without_system_text_is_refused(sampler, system):
    with pytest.raises(ModelError, match="no system text of its own"):
        sampler().sample([request("k", system=system)])


def test_a_request_beyond_the_models_positions_is_refused(base, sampler):
    limit = base.config.max_position_embeddings
    with pytest.raises(
        SamplingError, match=f"'long': .* {limit} new ones exceed the model's {limit} positions"
    ):
        sampler().sample([request("short"), request("long", new=limit)])


# --- how a completion ended -----------------------------------------------------------------------


def test_finish_reason_and_length_come_from_the_end_of_turn_token(
    base, sampler, tokenizer, monkeypatch
):
    """A scripted model: one row stops, one says nothing, one is cut, one holds a pad token."""
    a, b = tokenizer("tea now", add_special_tokens=False)["input_ids"][:2]
    eos = tokenizer.eos_token_id
    pad = tokenizer.pad_token_id
    written = torch.tensor([[a, b, eos, pad], [eos, pad, pad, pad], [a, b, a, b], [a, eos, a, a]])

    monkeypatch.setattr(
        base, "generate", lambda input_ids, **_: torch.cat([input_ids, written], dim=1)
    )
    made = sampler().sample([request(f"k{i}") for i in range(4)])
    text = tokenizer.decode([a, b])
    assert [one for (one,) in made] == [
        Completion(text, 2, "stop"),
        Completion("", 0, "stop"),
        Completion(text + text, 4, "length"),
        Completion(tokenizer.decode([a]), 1, "stop"),
    ]


# --- suites ---------------------------------------------------------------------------------------


def test_a_suite_asks_every_prompt_equally_often_under_an_explicit_system_text():
    rows = suite_rows("alignment", PROMPTS, "Be good.", 3)
    assert len(rows) == 6 and rows.groupby("prompt_id")["sample_index"].apply(list).to_dict() == {
        "p1": [0, 1, 2],
        "p2": [0, 1, 2],
    }
    assert set(zip(rows["prompt_id"], rows["system"], strict=True)) == {
        ("p1", "Be good."),
        ("p2", "Answer in JSON."),
    }
    assert messages_of(next(rows.itertuples(index=False)), FOLLOW_UP) == [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "What now?"},
    ]


def test_the_follow_up_continues_each_arms_own_answer(draw):
    own = draw(
        Recorder(lambda key: Completion("" if key.endswith("p2/1") else f"said {key}", 1, "stop"))
    )
    rows = suite_rows("followup", PROMPTS, "Be good.", 2, own)
    said = {
        (row.prompt_id, row.sample_index): messages_of(row, FOLLOW_UP)
        for row in rows.itertuples(index=False)
    }
    assert len(said) == len(rows) == 4
    for (prompt_id, index), messages in said.items():
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
        answer = (
            "" if (prompt_id, index) == ("p2", 1) else f"said 42/base/alignment/{prompt_id}/{index}"
        )
        assert (messages[2]["content"], messages[3]["content"]) == (answer, FOLLOW_UP)


def test_more_follow_ups_than_answers_are_refused(draw):
    own = draw(Recorder())
    with pytest.raises(
        SamplingError, match=r"4 samples of prompt 'p1'.*lower suites.followup.samples"
    ):
        suite_rows("followup", PROMPTS, "Be good.", 4, own)


# --- shards ---------------------------------------------------------------------------------------


def test_finished_shards_are_never_sampled_again(draw, tmp_path):
    done = []
    first = draw(Recorder(), progress=lambda *step: done.append(step))
    assert done == [(3, 6), (6, 6)] and list(first.columns) == shards.SAMPLE_COLUMNS
    assert first["completion"].tolist() == [
        f"42/base/alignment/{p}/{i}" for p in ("p1", "p2") for i in range(3)
    ]
    pd.testing.assert_frame_equal(draw(Recorder(None)), first)

    lost = sorted(tmp_path.iterdir())[1]
    lost.unlink()
    resumed = Recorder()
    pd.testing.assert_frame_equal(draw(resumed), first)
    assert resumed.asked == 3, "only the lost shard is sampled again"


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


# --- several arms ---------------------------------------------------------------------------------


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
        for prompt in ("p1", "p2")
        for name in ("one", "two")
    ]
    assert engine.calls == 1 and list(made) == ["one", "two"]
    assert made["two"]["completion"].tolist() == [
        f"42/two/alignment/{p}/{i}" for p in ("p1", "p2") for i in range(3)
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


# --- folded adapters ------------------------------------------------------------------------------


# PEFT would silently unfold it.
@pytest.mark.filterwarnings("error:Adapter cannot be set when the model is merged")
def test_a_folded_adapter_gives_the_unfolded_ones_values_and_leaves_the_base_to_the_bit(
    base, tokenizer, phase1_adapter
):
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    rows = [[5, 9, 20, 33, 41, 7], [8, 8, 30, 21, 60, 2]]

    def unfolded():
        with active(model, "arm"):
            return own_logprobs(model, rows, 4)

    try:
        beside = unfolded()
        engine = TransformersSampler(model, tokenizer, temperature=1.0, batch=4)
        folded = engine.logprobs(rows, 4, "arm")
        assert 0 < np.abs(folded - beside).max() < 1e-4
        assert np.abs(beside - engine.logprobs(rows, 4, None)).max() > 1e-2
        with pytest.raises(KeyboardInterrupt), served(model, "arm"):
            raise KeyboardInterrupt
        assert (unfolded() == beside).all(), "it stayed folded"
    finally:
        model.unload()
    assert all((base.state_dict()[name] == weight).all() for name, weight in before.items())
