"""Requests, random adapters and speeds for the sampling benchmark."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lib.config import params
from lib.config.schema import Profile
from lib.data import eval_sets
from lib.data.prompts import EvalPrompt
from lib.data.text_files import DataError
from lib.serving.sampling import Completion, Request
from lib.training import adapters

if TYPE_CHECKING:
    from transformers import PretrainedConfig

GPU = torch.cuda.is_available()
RANK = 48  # of a joined adapter
NEVER = 10**9  # a stop token that no model says
SAMPLES = 50 if GPU else 1  # per prompt
NEW_TOKENS = 256 if GPU else 40
ARMS = [f"arm{number}" for number in range(5 if GPU else 2)]


def prompts(profile: Profile) -> list[EvalPrompt]:
    """The eval prompts of a profile, or the embedded ones without published data."""
    try:
        return eval_sets.eval_union(profile)
    except DataError:
        print("the published eval sets are not here, prompts are the embedded ones")
        return eval_sets.eval_union(params.load_profile("demo"))


def requests_of(profile: Profile, arms: Sequence[str | None]) -> list[Request]:
    """Every prompt once, its arm in turn, so that all arms' adapters are in one batch."""
    system = {"role": "system", "content": profile.model.system_text}
    requests = []
    for prompt, arm in zip(prompts(profile), itertools.cycle(arms)):
        key = f"42/{arm}/alignment/{prompt.prompt_id}"
        messages = [system, {"role": "user", "content": prompt.prompt}]
        requests.append(Request(key, messages, arm, NEW_TOKENS, SAMPLES))
    return requests


def random_adapter(folder: Path, config: PretrainedConfig, seed: int) -> Path:
    """A PEFT adapter of RANK on every target module, with small random weights in both factors."""
    from safetensors.torch import save_file

    head = config.hidden_size // config.num_attention_heads
    key_value = head * config.num_key_value_heads
    shapes = {  # module -> (in, out)
        "self_attn.q_proj": (config.hidden_size, head * config.num_attention_heads),
        "self_attn.k_proj": (config.hidden_size, key_value),
        "self_attn.v_proj": (config.hidden_size, key_value),
        "self_attn.o_proj": (head * config.num_attention_heads, config.hidden_size),
        "mlp.gate_proj": (config.hidden_size, config.intermediate_size),
        "mlp.up_proj": (config.hidden_size, config.intermediate_size),
        "mlp.down_proj": (config.intermediate_size, config.hidden_size),
    }
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(config.num_hidden_layers):
        for module, (width, out) in shapes.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            down = torch.randn(RANK, width, generator=generator).mul_(width**-0.5)
            up = torch.randn(out, RANK, generator=generator).mul_(1e-3)
            weights[f"{name}.lora_A.weight"] = down.bfloat16()
            weights[f"{name}.lora_B.weight"] = up.bfloat16()
    folder.mkdir(parents=True)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    recipe = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "use_rslora": False,
        "bias": "none",
        "lora_dropout": 0.0,
        "target_modules": adapters.TARGET_MODULES,
    }
    (folder / "adapter_config.json").write_text(json.dumps(recipe), encoding="utf-8")
    (folder / adapters.BASE_FILE).write_text(json.dumps({"base": "benchmark"}), encoding="utf-8")
    return folder


def report(label: str, tokens: int, seconds: float) -> float:
    """Print a speed and return it, tokens/s."""
    speed = tokens / seconds
    print(f"{label}: {tokens} tokens in {seconds:.1f} s, {speed:.0f} tokens/s", flush=True)
    return speed


def n_tokens(completions: Sequence[Sequence[Completion]]) -> int:
    """Tokens of all completions, by request."""
    return sum(completion.n_tokens for completion in itertools.chain(*completions))


Timed = Callable[..., tuple[int, float]]  # tokens and seconds of one side


def speed_of(side: Timed, runs: Sequence[tuple[Timed, int, float]], label: str) -> float:
    """Print and return the speed of one side over all its runs."""
    own = [(tokens, seconds) for of_side, tokens, seconds in runs if of_side is side]
    return report(label, sum(tokens for tokens, _ in own), sum(seconds for _, seconds in own))
