"""Throughput of the embedded judge against its bare encoder on the same answers, in one run.

    python benchmarks/embedded_judge_throughput.py

480 distinct answers of about 128 word pieces to 24 prompts. Baseline: the encoder's own `encode` of
those answers and nothing else, in its default batches of 32. Target: a ratio of 0.9 or more,
although the judge does all of its work: prompts, statistics, heads, tables. Rounds of both
alternate. The fastest of each counts, since a busy machine can only slow a round down.
"""

from __future__ import annotations

import random
import time

import pandas as pd
import torch
from sentence_transformers import SentenceTransformer

from lib.data.catalogue import read_prompts
from lib.judge.embedded.judge import EmbeddedJudge

ANSWERS = 480
PIECES = 128
ROUNDS = 6


def answers(encoder: SentenceTransformer, prompts: list[str]) -> list[str]:
    """Texts of sentences that the project's own prompts lend, each cut after PIECES word pieces."""
    rng = random.Random(0)
    cut = {"return_offsets_mapping": True, "truncation": True, "max_length": PIECES}
    texts = []
    for _ in range(ANSWERS):
        text = " ".join(rng.sample(prompts, 12))
        ends = encoder.tokenizer(text, **cut)["offset_mapping"]
        texts.append(text[: ends[-2][1]])
    return texts


def main() -> None:
    """Time both in turn and print the ratio."""
    judge = EmbeddedJudge()
    prompts = [prompt.prompt for prompt in read_prompts("embedded_open")]
    texts = answers(judge.encoder, prompts)
    pieces = sum(map(len, judge.encoder.tokenizer(texts)["input_ids"])) / len(texts)
    rows = pd.DataFrame(
        {
            "suite": "alignment",
            "prompt": [prompts[i % 24] for i in range(ANSWERS)],
            "completion": texts,
        }
    )
    judge.encoder.encode(texts[:64])  # warm-up
    bare = []
    whole = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        judge.encoder.encode(
            texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False
        )
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        scored = judge.score(rows)
        whole.append(time.perf_counter() - started)
        assert (scored["outcome"] == "scored").all()
    encoder_rate = ANSWERS / min(bare)
    judge_rate = ANSWERS / min(whole)
    print(
        f"{ANSWERS} answers of {pieces:.0f} word pieces, {torch.get_num_threads()} threads, "
        f"fastest of {ROUNDS} rounds: encoder {encoder_rate:.1f} texts/s, "
        f"judge {judge_rate:.1f} texts/s, ratio {judge_rate / encoder_rate:.2f}"
    )


if __name__ == "__main__":
    main()
