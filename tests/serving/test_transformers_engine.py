"""The transformers engine: exact draws, a stream per sample, explicit prompts, folded adapters."""

import itertools

import numpy as np
import pytest
import torch
from engine_requests import request
from recorded_engine import Recorder
from scipy.stats import chisquare

from lib.models.chatml import ModelError
from lib.serving.sampling import Completion, SamplingError, seed_of
from lib.serving.transformers_engine import InverseCdf, TransformersSampler, served
from lib.training.adapters import active, attach_all
from lib.training.logits import own_logprobs


@pytest.fixture
def sampler(base, tokenizer):
    return lambda batch=4, model=base: TransformersSampler(
        model, tokenizer, temperature=1.0, batch=batch
    )


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
    own = [request(r.key, text=r.messages[1]["content"], samples=3) for r in alone.requests]
    bare = sampler().sample(own)
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    try:
        mixed = sampler(model=model).sample(
            list(itertools.chain(*[(request(f"arm/{r.key}", adapter="arm"), r) for r in own]))
        )
        treated = sampler(model=model).sample(
            [request(r.key, text=r.messages[1]["content"], adapter="arm", samples=3) for r in own]
        )
    finally:
        model.unload()
    assert mixed[1::2] == bare and treated != bare


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
