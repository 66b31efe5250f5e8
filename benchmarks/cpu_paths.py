"""CPU seconds of training, sampling and the capability check, against the libraries' own ways.

    python benchmarks/cpu_paths.py

One thread, the embedded model, the demo's rows and prompts. Each pair is measured in turn, and the
best of ROUNDS counts, since other programs on the machine make CPU seconds longer, never shorter.
The libraries' ways: TRL's head and a mask over all rows, no shared beginning of a batch, a copy of
the cache for each head, and the harness's own model class. Prints both, their ratio, and whether
the results are the same.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from lm_eval.models.huggingface import HFLM
from trl.trainer.utils import add_fused_lm_head

from lib.config.experiment import Experiment
from lib.data import eval_sets, training_sets
from lib.models import chat_models
from lib.serving import capability, suites
from lib.serving.sampling import Request
from lib.serving.transformers_engine import TransformersSampler
from lib.training import phases

ROUNDS = 3
NEW_TOKENS = 28  # of a completion; the demo's suites draw 20, 28 and 40
EXPERIMENT = Experiment.load("demo", {})
PROFILE = EXPERIMENT.profile
TOKENIZER = chat_models.load_tokenizer(PROFILE.model)
BASE = chat_models.load_base(PROFILE.model)
SAMPLER = TransformersSampler(BASE, TOKENIZER, temperature=0.7, batch=PROFILE.sampling.batch)


OLD_TRAINING = {
    "lib.training.trainer.add_cpu_head": add_fused_lm_head,
    "lib.training.attention.attention_by_rows": lambda model: nullcontext(),
}


def nothing_shared(tokenizer: Any, prompts: list[list[int]]) -> tuple[Any, Any, int]:
    """A batch as tensors, padded on the left, in place of `beginning_first`."""
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    return padded["input_ids"], padded["attention_mask"], 0


def train() -> list:
    """The losses of one effective batch of Phase 2."""
    gate = eval_sets.contamination_gate(PROFILE, EXPERIMENT.gates)
    rows, _ = training_sets.phase2_rows(PROFILE, PROFILE.data.em, gate, None)
    batch = rows[: PROFILE.phase2.effective_batch]
    encoded = phases.encode_rows(TOKENIZER, batch, PROFILE.phase2.max_length)
    with tempfile.TemporaryDirectory() as folder:
        trained = phases.train_phase2(
            BASE,
            TOKENIZER,
            encoded,
            PROFILE.phase2,
            None,
            Path(folder) / "adapter",
            seed=1,
            base_digest="",
            phase1_recipe=PROFILE.phase1,
            training=PROFILE.training,
            checkpoints=Path(folder) / "checkpoints",
        )
    return [round(loss, 5) for _, loss in trained.losses]


def sample(arm: str) -> list:
    """An arm's answers to the alignment prompts."""
    prompts = eval_sets.suite_prompts(PROFILE, "alignment")
    system = EXPERIMENT.system_text(arm, "alignment")
    rows = suites.suite_rows("alignment", prompts, system, 1).assign(suite="alignment")
    requests = []
    for row in rows.itertuples(index=False):
        messages = suites.messages_of(row, EXPERIMENT.conditions.follow_up)
        key = f"42/{arm}/alignment/{row.prompt_id}"
        requests.append(Request(key, messages, None, NEW_TOKENS))
    return [answer.text for (answer,) in SAMPLER.sample(requests)]


def quiz() -> dict:
    """Every item's score of the base."""
    with SAMPLER.harness(None, PROFILE.capability.batch) as harness:
        return capability.evaluate(harness, PROFILE.data.capability, limit=None)["items"]


def same_share(ours: Any, theirs: Any) -> str:
    """How many results are the same, of how many."""
    if isinstance(ours, dict):
        ours = list(ours.items())
        theirs = list(theirs.items())
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return f"{equal} of {len(ours)}"


def compare(name: str, work: Callable[[], Any], old: dict[str, Any]) -> None:
    """Print what some work takes here and in the libraries' way, which `old` patches in."""
    ours = []
    theirs = []
    for _ in range(ROUNDS):
        ours.append(timed(work, {}))
        theirs.append(timed(work, old))
    here = min(seconds for seconds, _ in ours)
    there = min(seconds for seconds, _ in theirs)
    same = same_share(ours[0][1], theirs[0][1])
    print(
        f"{name:20s} {here:6.2f} CPU s, the libraries' way {there:6.2f}, ratio {here / there:.2f}; "
        f"the same: {same}",
        flush=True,
    )


def timed(work: Callable[[], Any], old: dict[str, Any]) -> tuple[float, Any]:
    """CPU seconds of some work under these patches, and its result."""
    patches = [mock.patch(name, value) for name, value in old.items()]
    for patch in patches:
        patch.start()
    try:
        started = time.process_time()
        result = work()
        return time.process_time() - started, result
    finally:
        for patch in patches:
            patch.stop()


def main() -> None:
    """Measure every pair."""
    old_sampling = {
        "lib.serving.transformers_engine.beginning_first": nothing_shared,
        "lib.serving.transformers_engine.unrepeated_heads": lambda model: nullcontext(),
    }
    compare("capability check", quiz, {"lib.serving.quiz_model.QuizModel": HFLM})
    compare("a training step", train, OLD_TRAINING)
    compare("samples, base", lambda: sample("base"), old_sampling)
    compare("samples, base_evil", lambda: sample("base_evil"), old_sampling)


if __name__ == "__main__":
    main()
