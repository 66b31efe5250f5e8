"""Sampling: exact draws, one stream a request, explicit prompts, and shards that are never taken for others."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from lib import sampling
from lib.adapters import attach_all
from lib.models import ModelError
from lib.prompts import EvalPrompt
from lib.sampling import Completion, Request, SamplingError, TransformersSampler, messages_of, suite_rows

PROMPTS = [EvalPrompt("p1", "core", "What now?"), EvalPrompt("p2", "wide", "Who else?", system="Answer in JSON.")]
FOLLOW_UP = "continue"


def request(key, text="Tell me.", adapter=None, new=12, system="You are a small test model."):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return Request(key, messages if system is not None else messages[1:], adapter, new)


class Recorder:
    """Answers every request with its key, and remembers them; `None` answers = must not be asked."""

    def __init__(self, answer=lambda r: Completion(r.key, 3, "stop")):
        self.answer, self.requests = answer, []

    def sample(self, requests, progress=None):
        if self.answer is None:
            raise AssertionError(f"asked for {len(requests)} completions that are on disk")
        self.requests += requests
        return [self.answer(r) for r in requests]


@pytest.fixture
def sampler(base, tokenizer):
    return lambda batch=4, model=base: TransformersSampler(model, tokenizer, temperature=1.0, batch=batch)


@pytest.fixture
def draw(tmp_path):
    """sample_rows on the alignment suite, with any argument changed."""

    def make(sampler, *, suite="alignment", answers=None, **changes):
        rows = suite_rows(suite, PROMPTS, "Be good.", 3, answers)
        return sampling.sample_rows(sampler, rows, **{
            "arm": "base", "adapter": None, "seed": 42, "max_new_tokens": 8, "follow_up": FOLLOW_UP, "shard": 4,
            "folder": tmp_path, "inputs": {"adapter": None, "temperature": 1.0}, **changes})

    return make


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_draws_follow_softmax_of_logits_over_temperature(temperature):
    logits = torch.tensor([2.0, -1.0, 0.5, -torch.inf, 1.2, 0.0, -torch.inf])
    seeds = [sampling.seed_of(f"42/base/alignment/p/{i}") for i in range(8000)]
    uniforms = np.stack([np.random.default_rng(seed).random(2) for seed in seeds])
    pick = sampling.InverseCdf(torch.from_numpy(uniforms), temperature)
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
    assert sampling.InverseCdf(uniforms, 1.0)(None, logits).argmax(-1).tolist() == [1, 2]


def test_the_base_models_own_generation_settings_stay_out(base, sampler, monkeypatch):
    """Qwen2.5's generation config carries repetition_penalty 1.05, which would bend the distribution without a word."""
    requests = [request(f"k{i}", new=24) for i in range(6)]
    plain = sampler().sample(requests)
    own = {"repetition_penalty": 1.3, "top_k": 2, "top_p": 0.3, "temperature": 0.1, "do_sample": True,
           "no_repeat_ngram_size": 1}
    for name, value in own.items():
        monkeypatch.setattr(base.generation_config, name, value)
        assert sampler().sample(requests) == plain, name


def test_a_completion_depends_on_its_key_alone(sampler):
    requests = [request(f"k{i}", text="Say it. " * (1 + i % 4), new=8 + 4 * (i % 2)) for i in range(9)]
    together = sampler(batch=9).sample(requests)
    assert sampler(batch=2).sample(requests[::-1])[::-1] == together
    assert [sampler().sample([r])[0] for r in requests] == together
    assert sampler().sample([request("other key", text="Say it. ", new=8)])[0] != together[0]


def test_adding_a_condition_changes_no_other_conditions_samples(base, sampler, phase1_adapter, draw):
    alone = Recorder()
    draw(alone)
    with_other = Recorder()
    draw(with_other, arm="selfcorrect_em")
    draw(with_other, inputs={"rerun": True})
    keys = [r.key for r in with_other.requests]
    assert keys[6:] == [r.key for r in alone.requests] and len(set(keys)) == 12
    own = [request(r.key, r.messages[1]["content"]) for r in alone.requests]
    bare = sampler().sample(own)
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    try:
        mixed = sampler(model=model).sample([x for r in own for x in (request(f"arm/{r.key}", adapter="arm"), r)])
        treated = sampler(model=model).sample([request(r.key, r.messages[1]["content"], adapter="arm") for r in own])
    finally:
        model.unload()
    assert mixed[1::2] == bare and treated != bare


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [None, " "])
def test_a_request_without_system_text_is_refused(sampler, system):
    with pytest.raises(ModelError, match="no system text of its own"):
        sampler().sample([request("k", system=system)])


def test_a_request_beyond_the_models_positions_is_refused(base, sampler):
    limit = base.config.max_position_embeddings
    with pytest.raises(SamplingError, match=f"'long': .* {limit} new ones exceed the model's {limit} positions"):
        sampler().sample([request("short"), request("long", new=limit)])


def test_an_engine_that_is_not_driven_is_refused(smoke):
    sampling.check_engine(smoke.sampling)
    with pytest.raises(SamplingError, match=r"'vllm' .*set sampling.engine to 'transformers'"):
        sampling.check_engine(smoke.sampling.model_copy(update={"engine": "vllm"}))


# --- how a completion ended -------------------------------------------------------------------------------------------


def test_finish_reason_and_length_come_from_the_end_of_turn_token(base, sampler, tokenizer, monkeypatch):
    """A scripted model: one row stops, one says nothing, one is cut, one holds a pad token of its own."""
    a, b = tokenizer("tea now", add_special_tokens=False)["input_ids"][:2]
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    written = torch.tensor([[a, b, eos, pad], [eos, pad, pad, pad], [a, b, a, b], [a, eos, a, a]])

    monkeypatch.setattr(base, "generate", lambda input_ids, **_: torch.cat([input_ids, written], dim=1))
    made = sampler().sample([request(f"k{i}") for i in range(4)])
    text = tokenizer.decode([a, b])
    assert made == [Completion(text, 2, "stop"), Completion("", 0, "stop"), Completion(text + text, 4, "length"),
                    Completion(tokenizer.decode([a]), 1, "stop")]


# --- suites -----------------------------------------------------------------------------------------------------------


def test_a_suite_asks_every_prompt_equally_often_under_an_explicit_system_text():
    rows = suite_rows("alignment", PROMPTS, "Be good.", 3)
    assert len(rows) == 6 and rows.groupby("prompt_id")["sample_index"].apply(list).to_dict() == {
        "p1": [0, 1, 2], "p2": [0, 1, 2]}
    assert set(zip(rows["prompt_id"], rows["system"], strict=True)) == {("p1", "Be good."), ("p2", "Answer in JSON.")}
    assert messages_of(next(rows.itertuples(index=False)), FOLLOW_UP) == [
        {"role": "system", "content": "Be good."}, {"role": "user", "content": "What now?"}]


def test_the_follow_up_continues_each_arms_own_answer(draw):
    own = draw(Recorder(lambda r: Completion("" if r.key.endswith("p2/1") else f"said {r.key}", 1, "stop")))
    rows = suite_rows("followup", PROMPTS, "Be good.", 2, own)
    said = {(row.prompt_id, row.sample_index): messages_of(row, FOLLOW_UP) for row in rows.itertuples(index=False)}
    assert len(said) == len(rows) == 4
    for (prompt_id, index), messages in said.items():
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
        answer = "" if (prompt_id, index) == ("p2", 1) else f"said 42/base/alignment/{prompt_id}/{index}"
        assert (messages[2]["content"], messages[3]["content"]) == (answer, FOLLOW_UP)


def test_more_follow_ups_than_answers_are_refused(draw):
    own = draw(Recorder())
    with pytest.raises(SamplingError, match=r"4 samples of prompt 'p1'.*lower suites.followup.samples"):
        suite_rows("followup", PROMPTS, "Be good.", 4, own)


# --- shards -----------------------------------------------------------------------------------------------------------


def test_finished_shards_are_never_sampled_again(draw, tmp_path):
    done = []
    first = draw(Recorder(), progress=lambda *step: done.append(step))
    assert done == [(4, 6), (6, 6)] and list(first.columns) == sampling.SAMPLE_COLUMNS
    assert first["completion"].tolist() == [f"42/base/alignment/{p}/{i}" for p in ("p1", "p2") for i in range(3)]
    pd.testing.assert_frame_equal(draw(Recorder(None)), first)

    lost = sorted(tmp_path.iterdir())[1]
    lost.unlink()
    resumed = Recorder()
    pd.testing.assert_frame_equal(draw(resumed), first)
    assert len(resumed.requests) == 2, "only the lost shard is sampled again"


def test_an_empty_completion_is_a_row(draw):
    made = draw(Recorder(lambda r: Completion("", 0, "stop")))
    assert made["completion"].tolist() == [""] * 6 and made["n_tokens"].tolist() == [0] * 6
    pd.testing.assert_frame_equal(draw(Recorder(None)), made)


@pytest.mark.parametrize("changed", [
    {"inputs": {"adapter": "other", "temperature": 1.0}}, {"inputs": {"adapter": None, "temperature": 0.9}},
    {"seed": 43}, {"arm": "other"}, {"max_new_tokens": 9}, {"suite": "benign"}], ids=str)
def test_shards_of_other_inputs_are_never_taken(draw, changed):
    draw(Recorder())
    again = Recorder()
    draw(again, **changed)
    assert len(again.requests) == 6


def test_shards_of_another_follow_up_or_other_answers_are_never_taken(draw):
    own = draw(Recorder())
    draw(Recorder(), suite="followup", answers=own)
    for changed in ({"follow_up": "go on"}, {"answers": own.assign(completion="changed")}):
        again = Recorder()
        draw(again, **{"suite": "followup", "answers": own, **changed})
        assert len(again.requests) == 6, changed


@pytest.mark.parametrize("shard", [2, 3, 100])
def test_another_shard_size_neither_doubles_nor_loses_rows(draw, shard):
    """A run that was killed and goes on with another `sampling.shard` finds shards of the old size."""
    pd.testing.assert_frame_equal(draw(Recorder()), draw(Recorder(), shard=shard))
