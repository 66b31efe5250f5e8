"""Requests to the vLLM engine: one call with explicit parameters, the other engine's answers."""

from dataclasses import replace

import pytest
from engine_requests import request
from fake_vllm import SamplingParams

from lib.models import chat_models
from lib.serving.sampling import Completion, SamplingError, seed_of
from lib.training.adapters import AdapterError


def test_one_call_carries_every_request_with_its_adapter_and_explicit_parameters(
    start, served, tokenizer
):
    sampler = start(served)
    asked = [
        request("42/a/alignment/p", "first", samples=3),
        request("42/base/alignment/p"),
        request("42/b/alignment/p", "second", samples=2, new=7),
    ]
    made = sampler.sample(asked)
    ((prompts, params, lora),) = sampler.llm.calls
    assert [p["prompt_token_ids"] for p in prompts] == [
        chat_models.prompt_ids(tokenizer, r.messages) for r in asked
    ]
    assert [r and r.lora_name for r in lora] == ["first", None, "second"]
    assert [(p.n, p.seed, p.max_tokens) for p in params] == [
        (r.samples, seed_of(r.key) >> 2, r.max_new_tokens) for r in asked
    ]
    assert all(0 <= p.seed < 2**62 for p in params)
    plain = SamplingParams()
    for p in params:
        assert (p.temperature, p.stop_token_ids, p.detokenize) == (
            0.7,
            [tokenizer.eos_token_id],
            False,
        )
        for name in (
            "top_p",
            "top_k",
            "min_p",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
        ):
            assert getattr(p, name) == getattr(plain, name)
    assert [len(samples) for samples in made] == [3, 1, 2] and len(set(made[0])) == 3


def test_samples_depend_on_key_and_index_alone(start, served):
    sampler = start(served)
    together = sampler.sample([request("a", "first", 3), request("b", "second", 3)])
    assert sampler.sample([request("b", "second", 5)])[0][:3] == together[1]
    assert sampler.sample([request("c", "second", 3)])[0] != together[1]


def test_text_count_and_ending_are_the_other_engines(start, tokenizer, monkeypatch):
    sampler = start()
    stop = tokenizer.eos_token_id
    ids = tokenizer("tea now", add_special_tokens=False)["input_ids"]
    written = iter([([*ids, stop], "stop"), ([stop], "stop"), (ids, "length")])

    def draw(params, index):
        tokens, reason = next(written)
        return {"token_ids": tokens, "finish_reason": reason}

    monkeypatch.setattr(sampler.llm, "_draw", draw)
    assert [one for (one,) in sampler.sample([request(str(i)) for i in range(3)])] == [
        Completion("tea now", len(ids), "stop"),
        Completion("", 0, "stop"),
        Completion("tea now", len(ids), "length"),
    ]


def test_what_the_engine_lost_or_aborted_is_an_error(start, vllm):
    sampler = start()
    vllm.fault = "abort"
    with pytest.raises(SamplingError, match="vLLM ended it as 'abort'"):
        sampler.sample([request("k", samples=20)])
    vllm.fault = None
    vllm.lost = 1
    with pytest.raises(SamplingError, match="answered 1 of 2 requests"):
        sampler.sample([request("k"), request("l")])


def test_an_unknown_adapter_and_a_prompt_without_room_are_refused_before_the_call(start, served):
    sampler = start(served, length=50)
    with pytest.raises(AdapterError, match="'third' is not loaded; loaded are first, second"):
        sampler.sample([request("k", "third")])
    with pytest.raises(SamplingError, match=r"'long': .* exceed the model's 50 positions"):
        sampler.sample([request("short", new=4), request("long", new=48)])
    assert sampler.llm.calls == []


def test_a_beginning_and_a_temperature_of_a_requests_own_reach_the_engine(start, tokenizer):
    plain = request("k")
    sampler = start()
    sampler.sample([plain, replace(plain, prefill="Nobody cares.", temperature=0.25)])
    ((prompts, params, _),) = sampler.llm.calls
    ids = tokenizer(["Nobody cares."], add_special_tokens=False)["input_ids"][0]
    assert prompts[1]["prompt_token_ids"] == prompts[0]["prompt_token_ids"] + ids
    assert [one.temperature for one in params] == [0.7, 0.25]
