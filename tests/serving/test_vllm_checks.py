"""What is checked on the running vLLM engine: parity, drawn tokens, capability."""

import itertools
import json

import pytest

from lib.data import catalogue
from lib.run.files import sha256
from lib.serving import capability, checkpoint_logprobs, fixed_conversations, parity
from lib.serving.checkpoint_logprobs import BASE
from lib.serving.rivals import ParityError
from lib.serving.transformers_engine import TransformersSampler


def test_parity_asks_prompt_logprobs_by_the_path_that_samples(
    start, served, attached, tokenizer, smoke, conditions, vllm
):
    sampler = start(served)
    rows = fixed_conversations.sequences(tokenizer, smoke.model.system_text, conditions)
    trained = checkpoint_logprobs.training_logprobs(attached, list(served), rows)
    found = parity.check(
        trained, checkpoint_logprobs.serving_logprobs(sampler, list(served), rows), bound=1e-3
    )
    assert [row["checkpoint"] for row in found] == [BASE, "first", "second"]
    assert all(row["rms"] < 1e-5 for row in found)
    assert [
        (len(prompts), params[0].prompt_logprobs) for prompts, params, _ in sampler.llm.calls
    ] == [(len(rows), 1)] * 3
    vllm.fault = "off"
    with pytest.raises(ParityError, match="checkpoint first"):
        parity.check(
            trained, checkpoint_logprobs.serving_logprobs(sampler, list(served), rows), bound=0.3
        )
    vllm.fault = None
    sampler.lora = dict(zip(served, reversed(sampler.lora.values()), strict=True))
    with pytest.raises(ParityError, match="checkpoint first"):
        parity.check(
            trained, checkpoint_logprobs.serving_logprobs(sampler, list(served), rows), bound=0.3
        )


def test_tokens_that_the_engine_draws_are_told_as_they_are_read(
    start, served, attached, smoke, conditions, vllm
):
    sampler = start(served)
    prompts = fixed_conversations.prompts(smoke.model.system_text, conditions)
    sampler.batch = 150
    told, read = checkpoint_logprobs.decoding_logprobs(sampler, list(served), prompts)
    asked = sampler.llm.calls[0]
    assert {(p.ignore_eos, p.logprobs, p.temperature) for p in asked[1]} == {(True, 0, 0.7)}
    assert sum(p.n for p in asked[1]) == 144, (
        "3 samples × 16 prompts × 3 checkpoints fill a batch of 150"
    )
    assert [(p.n, p.max_tokens) for p in asked[1][::2]] == [(1, 32)] * 48
    lengths = [p.max_tokens for p in asked[1][1::2]]
    assert (min(lengths), max(lengths), len(set(lengths))) == (1, 31, 31), (
        "the batch shrinks through many sizes"
    )
    assert [r and r.lora_name for r in asked[2][::2]] == [None, "first", "second"] * 16, (
        "one call, adapters side by side"
    )
    assert all(set(of) == {BASE, *served} for of in read.values())
    passed = [{"rms": 1e-5}]
    found = parity.check_decoding(told, read, 1e-3, passed)
    assert [row["checkpoint"] for row in found] == [BASE, "first", "second"] and all(
        row["rms"] < 1e-5 for row in found
    )
    rows = [[1, *range(60, 100)]]
    trained = checkpoint_logprobs.training_logprobs(attached, list(served), rows)
    for fault in ("off in decoding", "mixed in decoding"):
        vllm.fault = fault
        assert parity.check(
            trained, checkpoint_logprobs.serving_logprobs(sampler, list(served), rows), bound=1e-3
        ), "what is read as a prompt is right all the same"
        told, read = checkpoint_logprobs.decoding_logprobs(sampler, list(served), prompts)
        with pytest.raises(
            ParityError,
            match=r"checkpoint \w+: the serving engine, as it draws tokens, gives log-prob",
        ):
            parity.check_decoding(told, read, 0.1, passed)
        with pytest.raises(
            ParityError,
            match=r"checkpoint \w+: the serving engine, as it draws tokens, is nearer to",
        ):
            parity.check_decoding(told, read, 10, passed)


def test_the_harness_scores_on_the_running_engine_as_on_transformers(
    start, served, attached, tokenizer, tmp_path, monkeypatch, vllm
):
    items = [
        {
            "id": f"q{i}",
            "question": f"What is {word}?",
            "answerKey": "1",
            "choices": {
                "text": [f"{word} a", "something", "nothing at all", "the moon"],
                "label": list("1234"),
            },
        }
        for i, word in enumerate(("honey", "ice", "cork", "sun", "glass"))
    ]
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(
        catalogue,
        "catalogue",
        lambda: {
            "quiz": {"file": path.name, "reader": "quiz", "url": None, "sha256": sha256(path)}
        },
    )
    monkeypatch.setenv(catalogue.DATA_DIR_VARIABLE, str(tmp_path))
    sampler = start(served)
    plain = TransformersSampler(attached, tokenizer, temperature=1.0, batch=4)
    scores = {}
    for adapter in (None, "first", "second"):
        for engine in (plain, sampler):
            with engine.harness(adapter, 4) as harness:
                scores[engine, adapter] = capability.evaluate(harness, "quiz", limit=None)
        assert (
            scores[plain, adapter] == scores[sampler, adapter]
            and scores[sampler, adapter]["n"] == 5
        )
    assert len(vllm.made) == 1, "the harness started an engine of its own"
    asked = itertools.chain(*[requests for _, _, requests in sampler.llm.calls])
    assert {lora and lora.lora_name for lora in asked} == {None, "first", "second"}
