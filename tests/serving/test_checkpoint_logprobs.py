"""Parity on the tiny model: folded adapters, and tokens drawn step by step."""

from dataclasses import replace

import pytest

from lib.models.chat_models import prompt_ids
from lib.serving import checkpoint_logprobs, fixed_conversations, parity
from lib.serving.checkpoint_logprobs import BASE
from lib.serving.parity import check
from lib.serving.rivals import ParityError
from lib.serving.sampling import Request, completed
from lib.serving.transformers_engine import TransformersSampler
from lib.training.adapters import AdapterError, attach_all


@pytest.fixture(scope="module")
def known(base, tokenizer, smoke, conditions, phase1_adapter):
    """A model with one adapter, the fixed positions, and the right values there; read only."""
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    rows = fixed_conversations.sequences(tokenizer, smoke.model.system_text, conditions)
    yield model, rows, checkpoint_logprobs.training_logprobs(model, ["arm"], rows)
    model.unload()


@pytest.fixture
def stack(known, tokenizer):
    """The transformers engine on it, the positions and the values."""
    model, rows, training = known
    return TransformersSampler(model, tokenizer, temperature=1.0, batch=4), rows, training


def test_folded_adapters_pass_the_bound_of_fp32(stack):
    sampler, rows, training = stack
    found = check(
        training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3
    )
    assert [training[row["checkpoint"]].shape for row in found] == [(512,)] * 2
    assert found[1]["effect"] > 0.01 > 1e-5 > found[1]["rms"]


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_a_wrongly_scaled_fold_is_found_in_fp32(stack, factor, monkeypatch):
    from peft.tuners.lora import LoraLayer

    sampler, rows, training = stack
    for layer in sampler.model.modules():
        if isinstance(layer, LoraLayer):
            monkeypatch.setitem(layer.scaling, "arm", layer.scaling["arm"] * factor)
    with pytest.raises(ParityError, match=r"checkpoint arm"):
        check(training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3)


def test_tokens_drawn_step_by_step_have_the_values_they_are_read_with(
    stack, smoke, conditions, monkeypatch
):
    sampler, rows, training = stack
    prompts = fixed_conversations.prompts(smoke.model.system_text, conditions)
    told, read = checkpoint_logprobs.decoding_logprobs(sampler, ["arm"], prompts)
    assert {name: set(of) for name, of in read.items()} == {BASE: {BASE}, "arm": {BASE, "arm"}}
    assert [(v.shape, len(set(v))) for v in told.values()] == [
        ((2 * checkpoint_logprobs.POSITIONS,), 2 * checkpoint_logprobs.POSITIONS)
    ] * 2
    passed = check(
        training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3
    )
    found = parity.check_decoding(told, read, 1e-3, passed)
    assert found[1]["effect"] > 0.01 > 1e-5 > max(row["rms"] for row in found)
    draw = sampler._draw
    monkeypatch.setattr(
        sampler,
        "_draw",
        lambda requests, stops: draw([replace(r, adapter=None) for r in requests], stops),
    )
    with pytest.raises(
        ParityError, match="checkpoint arm: the serving engine, as it draws tokens,"
    ):
        parity.check_decoding(
            *checkpoint_logprobs.decoding_logprobs(sampler, ["arm"], prompts), 1e-3, passed
        )


def test_decoding_goes_on_beyond_a_stop_and_draws_what_sampling_draws(stack, tokenizer):
    sampler, _, _ = stack
    asked = [
        Request(
            f"k{i}",
            [{"role": "system", "content": "s"}, {"role": "user", "content": "u" * (1 + 5 * i)}],
            name,
            9,
            2,
        )
        for i, name in enumerate((None, "arm", None))
    ]
    plain = sampler.sample(asked)
    # The stop is a token that the second request draws in between.
    sampler.stops = [sampler.decode(asked)[1][0].ids[3]]
    made = sampler.decode(asked)
    assert [[len(one.ids) for one in of] for of in made] == [[9, 9]] * 3
    assert [[one.prompt for one in of] for of in made] == [
        [prompt_ids(tokenizer, r.messages)] * 2 for r in asked
    ]
    assert sampler.sample(asked)[1][0].finish_reason == "stop"
    kept = [[completed(tokenizer, sampler.stops, one.ids) for one in of] for of in made]
    assert kept == sampler.sample(asked) and kept != plain


def test_an_adapter_that_is_not_loaded_is_refused(stack):
    sampler, rows, _ = stack
    with pytest.raises(AdapterError, match="'other' is not loaded"):
        checkpoint_logprobs.serving_logprobs(sampler, ["other"], rows)


def test_the_positions_lie_within_answers(stack, tokenizer):
    _, rows, _ = stack
    texts = [tokenizer.decode(row) for row in rows]
    assert (
        len(rows) == 16
        and all(len(row) > checkpoint_logprobs.POSITIONS for row in rows)
        and len(set(texts)) == 16
    )
    assert all(
        "<|im_start|>assistant" in text and not text.endswith("<|im_end|>") for text in texts
    )
