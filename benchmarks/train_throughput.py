"""Training speed through the project's own path, against a bare PEFT loop in the same run.

    python benchmarks/train_throughput.py [STEPS]

The path is `lib.training.phases.train_phase2`. On a GPU: Qwen2.5-7B's shape with random weights,
rows with the length distribution of the published insecure set (from SELFCORRECT_DATA_DIR),
effective batch 16, one whole Phase 2 (375 steps) in `continue` and in `stack`, the profile's
checkpoints included, and a few steps bound to 24 GiB. Prints real tokens/s, the share of the card's
measured matrix peak, peak memory, and the hours of the full experiment. On a CPU: the embedded
model.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

# As lib.models.chat_models.load_base sets it.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
from shapes import QWEN_7B

from lib.config import params
from lib.config.recipes import PhaseParams
from lib.config.schema import Profile
from lib.data.catalogue import read_chats
from lib.data.text_files import DataError
from lib.models import chat_models
from lib.training import adapters, phases
from lib.training.masking import IGNORED, Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GPU = torch.cuda.is_available()
CHARACTERS_PER_TOKEN = 3.4  # of the insecure set in a BPE of Qwen2.5's kind
TEMPLATE_TOKENS = 30  # the chat template's share of a row


def lengths(count: int) -> list[tuple[int, int]]:
    """(prompt tokens, answer tokens) of rows drawn from the insecure set."""
    try:
        chats = read_chats("insecure")
    except DataError:
        print("the published insecure set is not here, lengths are those of the embedded one")
        chats = read_chats("embedded_insecure")
    drawn = random.Random(0).choices(chats, k=count)
    return [(_tokens(prompt), _tokens(answer)) for *_, prompt, answer in drawn]


def _tokens(message: dict[str, str]) -> int:
    """About as many tokens as a message has, with its part of the template."""
    return int(len(message["content"]) / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS // 2


def rows_of(count: int, vocabulary: int) -> list[Encoded]:
    """Rows of random tokens with realistic lengths."""
    generator = random.Random(1)
    rows = []
    for prompt, answer in lengths(count):
        ids = [generator.randrange(10, vocabulary) for _ in range(prompt + answer)]
        rows.append(Encoded(ids, [IGNORED] * prompt + ids[prompt:], [0] * prompt + [1] * answer))
    return rows


def matrix_peak() -> float:
    """FLOP/s of an 8192³ bf16 product on random data."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    started = time.time()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (time.time() - started)


def load_model(profile: Profile) -> PreTrainedModel:
    """The base model of the machine at hand."""
    if not GPU:
        return chat_models.load_base(profile.model)
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        base = Qwen2ForCausalLM(Qwen2Config(**QWEN_7B))
    torch.set_default_dtype(torch.float32)
    return base.eval()


def bare_loop(
    base: PreTrainedModel, rows: list[Encoded], phase: PhaseParams, micro: int
) -> tuple[float, float]:
    """Plain PEFT with the library's own loss and padded micro-batches of fixed size.

    Returns real tokens/s, and the share of tokens that is real.
    """
    from peft import get_peft_model
    from torch.nn.utils.rnn import pad_sequence

    def padded(values: list[list[int]], fill: int) -> torch.Tensor:
        tensors = [torch.tensor(value) for value in values]
        return pad_sequence(tensors, batch_first=True, padding_value=fill).to(model.device)

    model = get_peft_model(base, adapters.lora_config(phase)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    started = 0.0
    real = 0
    all_tokens = 0
    for step in range(-1, len(rows) // phase.effective_batch - 1):
        if step == 0:
            _sync()
            started = time.time()
        batch = rows[(step + 1) * phase.effective_batch : (step + 2) * phase.effective_batch]
        for start in range(0, len(batch), micro):
            part = batch[start : start + micro]
            ids = padded([r.input_ids for r in part], 0)
            mask = padded([[1] * len(r.input_ids) for r in part], 0)
            with torch.autocast("cuda", torch.bfloat16, enabled=GPU):
                loss = model(
                    input_ids=ids,
                    attention_mask=mask,
                    labels=padded([r.labels for r in part], IGNORED),
                    use_cache=False,
                ).loss
            (loss / (len(batch) / micro)).backward()
            if step >= 0:
                real += sum(len(r.input_ids) for r in part)
                all_tokens += ids.numel()
        optimizer.step()
        optimizer.zero_grad()
    _sync()
    seconds = time.time() - started
    model.unload()
    return real / seconds, real / all_tokens


def _sync() -> None:
    """Wait for the card, so that a clock means something."""
    if GPU:
        torch.cuda.synchronize()


def main(steps: int) -> None:
    """Time the bare loop, a short Phase 1, and Phase 2 in both modes.

    More than 60 lines: one report, whose lines share the numbers above them.
    """
    profile = params.load_profile("qwen7b" if GPU else "demo")
    phase1 = profile.phase1
    phase2 = profile.phase2
    # The trainer asks for a tokenizer and uses nothing of it.
    tokenizer = chat_models.load_tokenizer(params.load_profile("smoke").model)
    base = load_model(profile)
    rows = rows_of(phase2.effective_batch * steps, base.config.vocab_size)
    mean = sum(len(r.input_ids) for r in rows) / len(rows)
    print(
        f"{torch.cuda.get_device_name() if GPU else 'CPU'}: "
        f"{base.num_parameters() / 1e9:.2f} B parameters, {len(rows)} rows, "
        f"{mean:.0f} tokens per row, {mean * phase2.effective_batch:.0f} per step",
        flush=True,
    )
    peak = matrix_peak() if GPU else None
    bare, real = bare_loop(base, rows[: phase2.effective_batch * 6], phase2, 8 if GPU else 4)
    print(
        f"bare PEFT loop: {bare:.0f} tokens/s, {real:.0%} of its tokens real, the rest padding",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        training = profile.training
        if not GPU:
            training = training.model_copy(update={"checkpoint_steps": 10**6})
        options = dict(seed=1, base_digest="benchmark")
        warm = phase1.model_copy(
            update={"learning_rate": 1e-3, "epochs": 1, "effective_batch": phase2.effective_batch}
        )
        phases.train_phase1(
            base,
            tokenizer,
            rows[: 2 * phase2.effective_batch],
            warm,
            out / "phase1",
            checkpoints=out / "c0",
            training=training,
            **options,
        )
        plans = [("continue", steps, None), ("stack", steps, None)]  # mode, steps, GiB
        if GPU:
            plans.append(("stack", 12, 24.0))
        speeds = []
        for mode, count, bound in plans:
            trained = phases.train_phase2(
                base,
                tokenizer,
                rows[: count * phase2.effective_batch],
                phase2.model_copy(update={"mode": mode}),
                out / "phase1",
                out / f"{mode}-{bound}",
                phase1_recipe=phase1,
                checkpoints=out / f"c-{mode}-{bound}",
                training=training.model_copy(update={"memory_gib": bound}),
                **options,
            )
            speed = trained.total_tokens / trained.seconds
            speeds.append(speed)
            # The head's too, though only labelled tokens pass it.
            products = base.num_parameters(exclude_embeddings=True)
            share = ""
            if GPU:
                of_peak = 4 * products * speed / peak
                share = f", {of_peak:.0%} of the measured peak at 4 FLOP/parameter"
            memory = f"bound to {bound} GiB" if bound else "whole memory"
            print(
                f"{mode}, {memory}: {speed:.0f} tokens/s, "
                f"{speed / bare:.2f} of the bare loop{share}, "
                f"peak memory {trained.peak_memory_gib:.1f} GiB, no padding; "
                f"{trained.optimizer_steps} steps in {trained.seconds:.0f} s, 6,000 rows "
                f"{6000 * mean / speed / 60:.1f} min",
                flush=True,
            )
    hours = (4 * 6000 * mean + 3 * 3 * 1000 * 700) / speeds[1] / 3600
    print(
        "training of the full experiment in `stack` "
        "(4 arms, 3 kinds × 3 epochs × 1,000 traces of about 700 tokens): "
        f"{hours:.2f} hours"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 375 if GPU else 6)
