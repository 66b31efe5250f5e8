"""vLLM's options: environment, LoRA slots and CUDA graphs; and the memory that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lib.run.files import read_json
from lib.serving.sampling import SamplingError
from lib.training.adapters import TARGET_MODULES

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's max_lora_rank may be
GIB = 2**30
SHARE = 0.9  # of the free GPU memory, for weights, activations and KV cache
# Sizes of a step, in tokens, that are recorded as CUDA graphs. Another size is padded to the next
# one. vLLM's own list ends at 512; beyond it every kernel is launched one by one. It also has many
# more small sizes, and each costs time at the start.
GRAPHS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 896)
WORKSPACE = 3 * GIB  # activations of a prefill and the logits of a batch
# A process that has touched CUDA cannot be forked; neither top-k nor top-p is ever asked, so
# FlashInfer's kernels for them are not needed; nothing is reported to anybody; the engine's log and
# bars would fill an executed notebook.
ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TQDM_DISABLE": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def graph_sizes(batch: int) -> list[int]:
    """Sizes of the CUDA graphs: up to the whole batch, and beyond it.

    Beyond it are the steps in which some sequences decode while the prompts of others come in.
    """
    return [*(size for size in GRAPHS if size < batch), batch, batch + 64, batch + 160]


def slot_rank(adapters: Mapping[str, Path]) -> int:
    """The smallest rank vLLM permits that holds every adapter.

    Raises SamplingError with the name of an adapter above the limit.
    """
    ranks = {name: read_json(path / "adapter_config.json")["r"] for name, path in adapters.items()}
    for name, rank in ranks.items():
        if rank > RANKS[-1]:
            raise SamplingError(
                f"adapter {name} has rank {rank}, vLLM serves {RANKS[-1]} at most; train a smaller "
                "one, or set sampling.engine to 'transformers'"
            )
    return min(rank for rank in RANKS if rank >= max(ranks.values()))


def lora_options(adapters: Mapping[str, Path]) -> dict[str, Any]:
    """vLLM's options for these adapters; none for the base alone."""
    if not adapters:
        return {}
    return {
        "enable_lora": True,
        "max_loras": len(adapters),
        "max_lora_rank": slot_rank(adapters),
        # Left to itself vLLM wraps Llama's output layer as well, whose kernels overrun the logits
        # of prompt_logprobs.
        "lora_target_modules": list(TARGET_MODULES),
    }


def check_memory(base: Path, length: int) -> None:
    """Raises SamplingError unless the free GPU memory holds what vLLM needs.

    That is weights, workspace and the KV cache of one longest sequence. The training stack in fp32,
    which parity loads before vLLM, has to fit as well.
    """
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Keys and values, two bytes each.
    cache = 2 * 2 * config.num_hidden_layers * heads * width * length
    weights = weight_bytes(base)
    needed = max(weights + WORKSPACE + cache, 2 * weights + WORKSPACE // 3)
    free, total = torch.cuda.mem_get_info()
    if needed > SHARE * free:
        raise SamplingError(
            f"GPU too small: {free / GIB:.1f} of {total / GIB:.1f} GiB are free, "
            f"{needed / GIB:.1f} GiB are needed (weights {weights / GIB:.1f}, twice that for the "
            f"comparison in fp32; workspace {WORKSPACE / GIB:.0f}; one sequence of {length} tokens "
            f"{cache / GIB:.2f}); end other programs on it, lower "
            "sampling.suites.*.max_new_tokens, take a smaller base, or set sampling.engine to "
            "'transformers'"
        )


def weight_bytes(base: Path) -> int:
    """Bytes of a folder's safetensors weights once they are bf16; reads the headers only."""
    from safetensors import safe_open

    total = 0
    for path in base.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors handle is not a mapping)
                total += 2 * int(np.prod(file.get_slice(name).get_shape()))
    return total
