"""Sampling speed through the project's own engines, against the same engine called directly in the same run.

    python benchmarks/sampling_throughput.py

On a GPU with vLLM: Qwen2.5-7B's shape with dummy weights, the union's prompts × 50 × 256 tokens, five random adapters of
rank 48 served together from one start; prints start-up, sampling, the ratio to vLLM called directly on the same requests
(in the order direct, ours, ours, direct), how many samples come out the same when drawn again, and the projection for the
whole experiment. On a CPU: the embedded model, base and two adapters folded in turn, against plain `generate` at its best
batch size. All completions have a fixed length here, so that both sides do the same work.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import torch
from shapes import QWEN_7B

from lib.config import params
from lib.data import eval_sets
from lib.data.catalogue import DataError
from lib.models import chat_models
from lib.serving.sampling import Request
from lib.training import adapters

GPU = torch.cuda.is_available()
RANK, NEVER = 48, 10**9  # of a joined adapter; a stop token that no model says
SAMPLES, NEW_TOKENS = (50, 256) if GPU else (1, 40)
ARMS = [f"arm{number}" for number in range(5 if GPU else 2)]


def prompts(profile) -> list:
    try:
        return eval_sets.eval_union(profile)
    except DataError:
        print("the published eval sets are not here, prompts are the embedded ones")
        return eval_sets.eval_union(params.load_profile("demo"))


def requests_of(profile, arms) -> list[Request]:
    """Every prompt once, its arm in turn, so that all arms' adapters stand in one batch."""
    system = profile.model.system_text
    return [
        Request(
            f"42/{arm}/alignment/{p.prompt_id}",
            [{"role": "system", "content": system}, {"role": "user", "content": p.prompt}],
            arm,
            NEW_TOKENS,
            SAMPLES,
        )
        for p, arm in zip(prompts(profile), itertools.cycle(arms))
    ]


def random_adapter(folder: Path, config, seed: int) -> Path:
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
    generator, weights = torch.Generator().manual_seed(seed), {}
    for layer in range(config.num_hidden_layers):
        for module, (width, out) in shapes.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            weights[f"{name}.lora_A.weight"] = (
                torch.randn(RANK, width, generator=generator).mul_(width**-0.5).bfloat16()
            )
            weights[f"{name}.lora_B.weight"] = (
                torch.randn(out, RANK, generator=generator).mul_(1e-3).bfloat16()
            )
    folder.mkdir(parents=True)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "r": RANK,
                "lora_alpha": RANK,
                "use_rslora": False,
                "bias": "none",
                "lora_dropout": 0.0,
                "target_modules": adapters.TARGET_MODULES,
            }
        ),
        encoding="utf-8",
    )
    (folder / adapters.BASE_FILE).write_text(json.dumps({"base": "benchmark"}), encoding="utf-8")
    return folder


def report(label: str, tokens: int, seconds: float) -> float:
    print(
        f"{label}: {tokens} tokens in {seconds:.1f} s, {tokens / seconds:.0f} tokens/s", flush=True
    )
    return tokens / seconds


# --- GPU --------------------------------------------------------------------------------------------------------------


def on_gpu(folder: Path, batch: int) -> None:
    from transformers import Qwen2Config
    from vllm import SamplingParams, TokensPrompt

    from lib.serving.vllm_engine import VllmSampler

    class FixedLength(VllmSampler):
        def params(self, request):
            asked = super().params(request)
            asked.ignore_eos, asked.stop_token_ids = True, []
            return asked

    profile = params.load_profile("qwen7b")
    # Qwen's own tokenizer is not at hand without its weights; the embedded model's has the same ChatML form.
    tokenizer = chat_models.load_tokenizer(params.load_profile("demo").model)
    config = Qwen2Config(
        **QWEN_7B,
        architectures=["Qwen2ForCausalLM"],
        dtype="bfloat16",
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    config.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    served = {arm: random_adapter(folder / arm, config, number) for number, arm in enumerate(ARMS)}
    started = time.time()
    sampler = FixedLength(
        folder / "base",
        tokenizer,
        served,
        temperature=1.0,
        batch=batch,
        length=1024,
        load_format="dummy",
    )
    start_up = time.time() - started
    sampler.stops = [NEVER]
    print(
        f"{sampler.facts}: start-up {start_up:.0f} s, {len(served)} adapters, {batch} sequences together",
        flush=True,
    )
    asked = requests_of(profile, ARMS)
    sampler.sample(asked[: 2 * len(ARMS)])  # loads the adapters, compiles what is compiled late

    def direct(part) -> tuple[int, float]:
        texts = [chat_models.prompt_text(tokenizer, r.messages) for r in part]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        plain = SamplingParams(n=SAMPLES, temperature=1.0, max_tokens=NEW_TOKENS, ignore_eos=True)
        sampler.llm.reset_prefix_cache()
        began = time.time()
        outputs = sampler.llm.generate(
            [TokensPrompt(prompt_token_ids=i) for i in ids],
            plain,
            lora_request=[sampler.lora[r.adapter] for r in part],
            use_tqdm=False,
        )
        return sum(len(o.token_ids) for out in outputs for o in out.outputs), time.time() - began

    def ours(part) -> tuple[int, float]:
        sampler.llm.reset_prefix_cache()
        began = time.time()
        drawn.extend(made := sampler.sample(part))
        return sum(c.n_tokens for of in made for c in of), time.time() - began

    drawn: list = []
    runs = [(side, *side(asked)) for side in (direct, ours, ours, direct)]
    speed = {
        side: report(
            label, sum(t for s, t, _ in runs if s is side), sum(x for s, _, x in runs if s is side)
        )
        for side, label in ((direct, "vLLM called directly"), (ours, "the project's sampler"))
    }
    own = speed[ours]
    print(
        f"five adapters together: {own:.0f} tokens/s (22,000 wanted), {own / speed[direct]:.2f} of vLLM called directly "
        "(0.95 wanted)",
        flush=True,
    )
    few = 4 * len(ARMS)
    pairs = [
        pair
        for one, two in zip(drawn, sampler.sample(asked[:few]), strict=False)
        for pair in zip(one, two, strict=True)
    ]
    same = sum(a == b for a, b in pairs) / len(pairs)
    print(
        f"drawn again from the same seeds among fewer others: {same:.0%} of {len(pairs)} completions the same to the letter "
        "(elsewhere a rounding of another batch tipped a token)"
    )
    suites, n = profile.sampling.suites, len(prompts(profile))
    arms = len(profile.conditions)
    completions = n * (arms * suites["alignment"].samples + (arms - 1) * suites["benign"].samples)
    minutes = completions * NEW_TOKENS / own / 60
    print(
        f"the whole experiment, alignment and benign of {arms} arms: {completions} completions × {NEW_TOKENS} tokens, "
        f"{minutes:.1f} GPU-minutes (6 wanted), start-up of {start_up:.0f} s apart; total here {time.time() - started:.0f} s"
    )


# --- CPU --------------------------------------------------------------------------------------------------------------


def on_cpu(folder: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    from lib.serving.transformers_engine import TransformersSampler

    profile = params.load_profile("demo")
    tokenizer, config = (
        chat_models.load_tokenizer(profile.model),
        AutoConfig.from_pretrained(chat_models.base_dir(profile.model)),
    )
    base = chat_models.load_base(profile.model)
    asked = requests_of(profile, [None])
    texts = sorted(
        (chat_models.prompt_text(tokenizer, r.messages) for r in asked for _ in range(SAMPLES)),
        key=lambda text: len(tokenizer(text)["input_ids"]),
    )

    def plain(batch: int) -> tuple[int, float]:
        settings = GenerationConfig(
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=True,
            top_k=0,
            temperature=profile.sampling.temperature,
            pad_token_id=tokenizer.pad_token_id,
        )
        began, tokens = time.time(), 0
        for start in range(0, len(texts), batch):
            encoded = tokenizer(
                texts[start : start + batch],
                add_special_tokens=False,
                padding=True,
                return_tensors="pt",
            )
            out = base.generate(**encoded, generation_config=settings)
            tokens += out[:, encoded["input_ids"].shape[1] :].numel()
        return tokens, time.time() - began

    def ours(arm: str | None) -> tuple[int, float]:
        began = time.time()
        made = sampler.sample(requests_of(profile, [arm]))
        return sum(c.n_tokens for of in made for c in of), time.time() - began

    plain(len(texts))  # warms up
    speeds = {
        size: report(f"plain generate, batch {size}", *plain(size))
        for size in sorted({16, 32, profile.sampling.batch, len(texts)})
    }
    size = max(speeds, key=speeds.get)
    served = {arm: random_adapter(folder / arm, config, number) for number, arm in enumerate(ARMS)}
    model = adapters.attach_all(chat_models.load_base(profile.model), served, "benchmark")
    sampler = TransformersSampler(
        model, tokenizer, temperature=profile.sampling.temperature, batch=profile.sampling.batch
    )
    sampler.stops = [NEVER]
    steps = [
        step
        for arm in (None, *ARMS)
        for step in ((plain, size), (ours, arm), (ours, arm), (plain, size))
    ]
    runs = [(side, *side(argument)) for side, argument in steps]
    speed = {
        side: report(
            label, sum(t for s, t, _ in runs if s is side), sum(x for s, _, x in runs if s is side)
        )
        for side, label in (
            (plain, f"plain generate at its best, batch {size}, in between"),
            (ours, f"the project's sampler, base and {len(ARMS)} adapters, batch {sampler.batch}"),
        )
    }
    print(f"{speed[ours] / speed[plain]:.2f} of the best plain generate (0.95 wanted)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--batch",
        type=int,
        default=params.load_profile("qwen7b").sampling.batch,
        help="sequences that vLLM decodes together",
    )
    batch = parser.parse_args().batch
    with tempfile.TemporaryDirectory() as scratch:
        if GPU:
            on_gpu(Path(scratch), batch)
        else:
            on_cpu(Path(scratch))


if __name__ == "__main__":
    main()
