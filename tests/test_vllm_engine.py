"""The vLLM engine against a stand-in for `vllm`.

The stand-in records what it is asked and computes log-probabilities itself.
"""

import copy
import importlib.metadata
import json
import shutil
import sys
import types
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from lib.config.experiment import Experiment
from lib.data import catalogue
from lib.models import chat_models
from lib.run.runs import sha256
from lib.serving import capability, checkpoint_logprobs, engines, fixed_conversations, parity
from lib.serving.checkpoint_logprobs import BASE
from lib.serving.rivals import ParityError
from lib.serving.sampling import Completion, Request, SamplingError, seed_of
from lib.serving.transformers_engine import TransformersSampler
from lib.traces import request_length
from lib.training.adapters import TARGET_MODULES, AdapterError, active, attach_all

GIB = 2**30


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class SamplingParams:
    """The fields that the engine sets; an unknown one is a TypeError, as in vLLM."""

    n: int = 1
    seed: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int = 16
    stop_token_ids: list = field(default_factory=list)
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True


class FakeLLM:
    """Random ids that depend on (seed + index) alone; log-probabilities of the tiny model by PEFT.

    fault: "abort" ends requests; "off" applies no adapter, "off in decoding" none to drawn tokens,
    and "mixed in decoding" applies to these the adapter of the request after the next.
    """

    made: list = []  # noqa: RUF012 (one list for all engines of a test)
    model = None
    fault = None
    lost = 0

    def __init__(self, **options):
        self.options = options
        self.calls = []
        FakeLLM.made.append(self)

    def generate(self, prompts, sampling_params, *, lora_request, use_tqdm):
        lora_request = (
            lora_request if isinstance(lora_request, list) else [lora_request] * len(prompts)
        )
        params = (
            sampling_params
            if isinstance(sampling_params, list)
            else [sampling_params] * len(prompts)
        )
        assert len(prompts) == len(params) == len(lora_request) and use_tqdm is False
        self.calls.append((prompts, params, lora_request))
        decoding = {
            "off in decoding": [None] * len(prompts),
            "mixed in decoding": [*lora_request, None, None][2:],
        }
        rows = list(
            zip(prompts, params, lora_request, decoding.get(self.fault, lora_request), strict=True)
        )
        return [self._answer(*row) for row in rows[: len(rows) - self.lost]]

    def _answer(self, prompt, params, lora, decoding):
        ids = prompt["prompt_token_ids"]
        outputs = [
            types.SimpleNamespace(index=i, logprobs=None, **self._draw(params, i))
            for i in range(params.n)
        ]
        for output in outputs if params.logprobs is not None else []:
            output.logprobs = self._logprobs([*ids, *output.token_ids], decoding, params.logprobs)[
                len(ids) :
            ]
        told = (
            None
            if params.prompt_logprobs is None
            else self._logprobs(ids, lora, params.prompt_logprobs)
        )
        return types.SimpleNamespace(
            outputs=outputs[::-1], prompt_logprobs=told, prompt_token_ids=ids
        )

    @staticmethod
    def _draw(params, index):
        rng = np.random.default_rng((params.seed or 0) + index)
        ids = rng.integers(10, 200, params.max_tokens).tolist()
        if params.ignore_eos or rng.random() < 0.5:
            return {
                "token_ids": ids,
                "finish_reason": "abort" if FakeLLM.fault == "abort" else "length",
            }
        return {
            "token_ids": [*ids[: rng.integers(0, params.max_tokens)], params.stop_token_ids[0]]
            if params.stop_token_ids
            else ids,
            "finish_reason": "stop",
        }

    def _logprobs(self, ids, lora, count):
        name = lora.lora_name if lora else None
        if FakeLLM.fault == "off":
            name = None
        with active(FakeLLM.model, name), torch.inference_mode():
            values = FakeLLM.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        told = [None]
        for place, token in enumerate(ids[1:]):
            wanted = {token, *values[place].topk(count).indices.tolist()}
            told.append({t: types.SimpleNamespace(logprob=values[place, t].item()) for t in wanted})
        return told


@pytest.fixture
def vllm(monkeypatch, base):
    """The stand-in as an installed package, and a GPU of 80 GiB."""

    def module(name, **names):
        made = types.ModuleType(name)
        vars(made).update(names)
        made.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, made)

    FakeLLM.made = []
    FakeLLM.model = base
    FakeLLM.fault = None
    FakeLLM.lost = 0
    module(
        "vllm",
        LLM=FakeLLM,
        SamplingParams=SamplingParams,
        TokensPrompt=dict,
        __version__="0.26.0",
        __path__=[],
    )
    for name in ("vllm.lora", "vllm.renderers"):
        module(name, __path__=[])
    module("vllm.lora.request", LoRARequest=LoRARequest)
    module("vllm.renderers.hf", resolve_chat_template=None)
    module("vllm.tokenizers", get_tokenizer=None)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.26.0" if name == "vllm" else real(name)
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (78 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return FakeLLM


@pytest.fixture
def gpu(smoke):
    """The smoke profile as a GPU would run it."""
    return smoke.model_copy(
        update={
            "sampling": smoke.sampling.model_copy(update={"engine": "vllm"}),
            "model": smoke.model.model_copy(update={"dtype": "bfloat16"}),
        }
    )


@pytest.fixture
def served(phase1_adapter, tmp_path):
    """Two arms' adapters, the second another one than the first."""
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(phase1_adapter, tmp_path / "other")
    weights = load_file(other / "adapter_model.safetensors")
    save_file(
        {n: w.flip(0) if "lora_B" in n else w for n, w in weights.items()},
        other / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    return {"first": phase1_adapter, "second": other}


@pytest.fixture
def start(vllm, gpu, tokenizer):
    def make(adapters=None, length=500):
        return engines.start(
            gpu, tokenizer, temperature=0.7, length=length, adapters=adapters or {}
        )

    return make


def request(key, adapter=None, samples=1, new=12, text="Tell me."):
    return Request(
        key,
        [
            {"role": "system", "content": "You are a small test model."},
            {"role": "user", "content": text},
        ],
        adapter,
        new,
        samples,
    )


# --- the start ------------------------------------------------------------------------------------


def test_one_start_has_a_slot_for_every_adapter_and_leaves_the_models_own_settings_out(
    start, served, gpu, vllm
):
    sampler = start(served)
    (llm,) = vllm.made
    options = llm.options
    assert (options["enable_lora"], options["max_loras"], options["max_lora_rank"]) == (
        True,
        2,
        8,
    ), "rank 4 needs a slot of 8"
    assert set(options["lora_target_modules"]) == set(TARGET_MODULES)
    assert (options["generation_config"], options["dtype"], options["trust_remote_code"]) == (
        "vllm",
        "bfloat16",
        False,
    )
    assert (options["max_model_len"], options["max_num_seqs"]) == (501, gpu.sampling.batch)
    assert options["gpu_memory_utilization"] == pytest.approx(0.9 * 78 / 80, abs=1e-3)
    assert [(r.lora_name, r.lora_int_id, r.lora_path) for r in sampler.lora.values()] == [
        ("first", 1, str(served["first"])),
        ("second", 2, str(served["second"])),
    ]
    assert sampler.facts == {
        "engine": "vllm",
        "version": "0.26.0",
        "dtype": "bfloat16",
        "device": "H100",
        "batch_invariant": False,
    }


@pytest.mark.parametrize(("batch", "last"), [(3, [2, 3]), (512, [384, 512]), (1024, [896, 1024])])
def test_cuda_graphs_reach_the_whole_batch(vllm, gpu, tokenizer, batch, last):
    sampling = gpu.sampling.model_copy(update={"batch": batch})
    engines.start(
        gpu.model_copy(update={"sampling": sampling}), tokenizer, temperature=1.0, length=500
    )
    sizes = vllm.made[0].options["compilation_config"]["cudagraph_capture_sizes"]
    assert sizes == sorted(set(sizes)) and sizes[-4:-2] == last and sizes[-1] == batch + 160


def test_the_base_alone_starts_without_lora(start, vllm):
    start()
    assert not any("lora" in option for option in vllm.made[0].options)


@pytest.mark.parametrize(("rank", "slot"), [(4, 8), (16, 16), (48, 64), (300, 320)])
def test_a_joined_adapters_rank_is_rounded_up_to_a_slot(start, served, vllm, rank, slot):
    config = json.loads((served["second"] / "adapter_config.json").read_text())
    (served["second"] / "adapter_config.json").write_text(json.dumps(config | {"r": rank}))
    start(served)
    assert vllm.made[0].options["max_lora_rank"] == slot


def test_a_loaded_model_makes_room_first(vllm, gpu, tokenizer, base, served):
    model = attach_all(copy.deepcopy(base), served, "tiny")
    engines.start(gpu, tokenizer, temperature=1.0, length=500, reference=model)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


# --- requests -------------------------------------------------------------------------------------


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


# --- parity and capability ------------------------------------------------------------------------


@pytest.fixture
def attached(base, served, vllm):
    model = attach_all(base, served, "tiny")
    vllm.model = model
    yield model
    model.unload()


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
            match=r"checkpoint \w+: the serving engine, as it draws tokens, stands nearer to",
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
    assert {
        lora and lora.lora_name for _, _, requests in sampler.llm.calls for lora in requests
    } == {None, "first", "second"}


# --- refusals before the engine starts ------------------------------------------------------------


@pytest.fixture
def card(vllm, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_a_healthy_setting_passes(gpu, served, card):
    engines.check_engine(gpu, 500, served, "tiny")


def test_bad_settings_are_named_before_anything_starts(vllm, gpu, served, smoke, card, monkeypatch):
    with pytest.raises(
        AdapterError, match=r"was trained on base tiny, the profile's base is other"
    ):
        engines.check_engine(gpu, 500, served, "other")
    with pytest.raises(
        SamplingError, match=r"take 5000 tokens, the base has 2048 positions; lower sampling"
    ):
        engines.check_engine(gpu, 5000)
    with pytest.raises(SamplingError, match=r"take 2048 tokens, the base has 2048"):
        engines.check_engine(gpu, 2048)  # the engine wants a place more than it fills
    with pytest.raises(
        SamplingError, match=r"serves adapters in bfloat16, model.dtype is 'float32'"
    ):
        engines.check_engine(gpu.model_copy(update={"model": smoke.model}), 500)
    config = json.loads((served["second"] / "adapter_config.json").read_text())
    (served["second"] / "adapter_config.json").write_text(json.dumps(config | {"r": 513}))
    with pytest.raises(
        SamplingError, match=r"adapter second has rank 513, vLLM serves 512 at most"
    ):
        engines.check_engine(gpu, 500, served, "tiny")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3 * GIB, 24 * GIB))
    with pytest.raises(
        SamplingError,
        match=r"GPU too small: 3.0 of 24.0 GiB are free, 3.0 GiB are needed.*one sequence of "
        r"500 tokens.*lower sampling.suites",
    ):
        engines.check_engine(gpu, 500)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        SamplingError, match=r"no GPU is there; set sampling.engine to 'transformers'"
    ):
        engines.check_engine(gpu, 500)
    assert vllm.made == []


def test_without_vllm_the_remedy_is_named(gpu, smoke):
    engines.check_engine(smoke, 500)
    with pytest.raises(
        SamplingError, match=r"'vllm', which is not installed; install the extra `gpu`"
    ):
        engines.check_engine(gpu, 500)


def test_the_length_covers_every_suite_and_a_follow_up_of_its_own_answer(
    smoke, conditions, tokenizer
):
    def length(new):
        suites = smoke.sampling.suites
        longer = suites | {
            "alignment": suites["alignment"].model_copy(update={"max_new_tokens": new})
        }
        profile = smoke.model_copy(
            update={"sampling": smoke.sampling.model_copy(update={"suites": longer})}
        )
        return engines.suite_length(Experiment.of(profile), tokenizer, smoke.conditions)

    assert length(400) - length(200) >= 3 * 200
    rows = fixed_conversations.sequences(tokenizer, smoke.model.system_text, conditions)
    assert length(1) > max(map(len, rows)), (
        "the comparison with the training stack has to fit as well"
    )
    assert (
        request_length.trace_length(Experiment.of(smoke), tokenizer, ["Short.", "Long. " * 200])
        > 400
    )


def test_a_beginning_and_a_temperature_of_a_requests_own_reach_the_engine(start, tokenizer):
    plain = request("k")
    sampler = start()
    sampler.sample([plain, replace(plain, prefill="Nobody cares.", temperature=0.25)])
    ((prompts, params, _),) = sampler.llm.calls
    ids = tokenizer(["Nobody cares."], add_special_tokens=False)["input_ids"][0]
    assert prompts[1]["prompt_token_ids"] == prompts[0]["prompt_token_ids"] + ids
    assert [one.temperature for one in params] == [0.7, 0.25]
