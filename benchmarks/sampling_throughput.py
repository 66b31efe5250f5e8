"""Sampling speed through the project's own engines, against the same engine called directly.

    python benchmarks/sampling_throughput.py

On a GPU with vLLM: Qwen2.5-7B's shape with dummy weights, the union's prompts × 50 × 256 tokens,
five random adapters of rank 48 served together from one start. Prints start-up, sampling, the ratio
to vLLM called directly on the same requests (in the order direct, ours, ours, direct), how many
samples come out the same when drawn again, and the projection for the whole experiment.

On a CPU: the embedded model, base and two adapters folded in turn, against plain `generate` at its
best batch size. All completions have a fixed length here, so that both sides do the same work.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sampled_requests import (
    ARMS,
    GPU,
    NEVER,
    NEW_TOKENS,
    SAMPLES,
    n_tokens,
    prompts,
    random_adapter,
    report,
    requests_of,
    speed_of,
)
from shapes import QWEN_7B

from lib.config import params
from lib.models import chat_models
from lib.serving.sampling import Completion, Request
from lib.training import adapters


def on_gpu(folder: Path, batch: int) -> None:
    """vLLM through the project's sampler, against vLLM called directly.

    More than 60 lines: both sides share the engine that is started here.
    """
    from transformers import Qwen2Config
    from vllm import SamplingParams, TokensPrompt

    from lib.serving.vllm_engine import VllmSampler

    class FixedLength(VllmSampler):
        def params(self, request):
            asked = super().params(request)
            asked.ignore_eos = True
            asked.stop_token_ids = []
            return asked

    profile = params.load_profile("qwen7b")
    # Qwen's own tokenizer comes with its weights; the embedded model's has the same ChatML form.
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
        f"{sampler.facts}: start-up {start_up:.0f} s, {len(served)} adapters, "
        f"{batch} sequences together",
        flush=True,
    )
    asked = requests_of(profile, ARMS)
    sampler.sample(asked[: 2 * len(ARMS)])  # loads the adapters, compiles what is compiled late

    def direct(part: list[Request]) -> tuple[int, float]:
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
        seconds = time.time() - began
        answers = itertools.chain(*(output.outputs for output in outputs))
        return sum(len(answer.token_ids) for answer in answers), seconds

    def ours(part: list[Request]) -> tuple[int, float]:
        sampler.llm.reset_prefix_cache()
        began = time.time()
        completions = sampler.sample(part)
        seconds = time.time() - began
        drawn.extend(completions)
        return n_tokens(completions), seconds

    drawn: list[Sequence[Completion]] = []
    runs = [(side, *side(asked)) for side in (direct, ours, ours, direct)]
    best = speed_of(direct, runs, "vLLM called directly")
    own = speed_of(ours, runs, "the project's sampler")
    print(
        f"five adapters together: {own:.0f} tokens/s (22,000 wanted), "
        f"{own / best:.2f} of vLLM called directly (0.95 wanted)",
        flush=True,
    )
    few = asked[: 4 * len(ARMS)]
    first = list(itertools.chain(*drawn[: len(few)]))
    again = list(itertools.chain(*sampler.sample(few)))
    same = sum(a == b for a, b in zip(first, again, strict=True)) / len(first)
    print(
        f"drawn again from the same seeds among fewer others: {same:.0%} of {len(first)} "
        "completions the same to the letter (elsewhere a rounding of another batch tipped a token)"
    )
    suites = profile.sampling.suites
    arms = len(profile.conditions)
    per_prompt = arms * suites["alignment"].samples + (arms - 1) * suites["benign"].samples
    n_completions = len(prompts(profile)) * per_prompt
    minutes = n_completions * NEW_TOKENS / own / 60
    print(
        f"the whole experiment, alignment and benign of {arms} arms: "
        f"{n_completions} completions × {NEW_TOKENS} tokens, "
        f"{minutes:.1f} GPU-minutes (6 wanted), start-up of {start_up:.0f} s apart; "
        f"total here {time.time() - started:.0f} s"
    )


def on_cpu(folder: Path) -> None:
    """The embedded model through the project's sampler, against plain `generate`."""
    from transformers import AutoConfig, GenerationConfig

    from lib.serving.transformers_engine import TransformersSampler

    profile = params.load_profile("demo")
    tokenizer = chat_models.load_tokenizer(profile.model)
    config = AutoConfig.from_pretrained(
        chat_models.base_dir(profile.model), trust_remote_code=False
    )
    base = chat_models.load_base(profile.model)
    asked = requests_of(profile, [None]) * SAMPLES
    texts = [chat_models.prompt_text(tokenizer, request.messages) for request in asked]
    texts.sort(key=lambda text: len(tokenizer(text)["input_ids"]))

    def plain(batch: int) -> tuple[int, float]:
        settings = GenerationConfig(
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=True,
            top_k=0,
            temperature=profile.sampling.temperature,
            pad_token_id=tokenizer.pad_token_id,
        )
        began = time.time()
        tokens = 0
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
        completions = sampler.sample(requests_of(profile, [arm]))
        return n_tokens(completions), time.time() - began

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
    runs = []
    for arm in (None, *ARMS):
        runs.append((plain, *plain(size)))
        runs.append((ours, *ours(arm)))
        runs.append((ours, *ours(arm)))
        runs.append((plain, *plain(size)))
    best = speed_of(plain, runs, f"plain generate at its best, batch {size}, in between")
    label = f"the project's sampler, base and {len(ARMS)} adapters, batch {sampler.batch}"
    own = speed_of(ours, runs, label)
    print(f"{own / best:.2f} of the best plain generate (0.95 wanted)")


def main() -> None:
    """The benchmark of the machine at hand."""
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
