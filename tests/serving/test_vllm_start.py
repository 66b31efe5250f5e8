"""The start of vLLM: its options, and the settings that are refused before anything starts."""

import copy
import json

import pytest
import torch
from fake_vllm import GIB

from lib.config.experiment import Experiment
from lib.serving import engines, fixed_conversations
from lib.serving.sampling import SamplingError
from lib.traces import request_length
from lib.training.adapters import TARGET_MODULES, AdapterError, attach_all


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
