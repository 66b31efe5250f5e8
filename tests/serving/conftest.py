"""The stand-in for vLLM as an installed package, two served arms, and suites on a recorder."""

import importlib.metadata
import shutil
import sys
import types

import pytest
import torch
from fake_vllm import GIB, FakeLLM, LoRARequest, SamplingParams
from recorded_engine import FOLLOW_UP, PROMPTS

from lib.serving import engines, shards
from lib.serving.shards import Arm
from lib.serving.suites import suite_rows
from lib.training.adapters import attach_all


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


@pytest.fixture
def attached(base, served, vllm):
    model = attach_all(base, served, "tiny")
    vllm.model = model
    yield model
    model.unload()


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
