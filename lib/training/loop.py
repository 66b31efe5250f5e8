"""One training run: rows in, the model's adapter trained by TRL, what it did as numbers (docs/protocol.md section 4)."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lib.config.schema import PhaseParams, TrainingParams
from lib.run.runs import fingerprint
from lib.training import memory
from lib.training.masking import Encoded
from lib.training.memory import TrainingError

MOST_LOGS = 100  # losses of a training, about; each waits for the GPU


@dataclass(frozen=True)
class Trained:
    """What a phase did: steps, tokens (there is no padding), losses, seconds, memory, and the checks' numbers.

    losses: (step, mean loss in nats since the entry before); turn_losses: (step, assistant turn, mean loss); seconds are
    those since `resumed_at`; token_budget and gradient_checkpointing as `training.memory_gib` allowed them; consumed: how
    often the trainer took each row (masking.row_digest), and trained_tokens what carried loss in these.
    """

    optimizer_steps: int
    trained_tokens: int
    total_tokens: int
    losses: list[tuple[int, float]]
    turn_losses: list[tuple[int, int, float]]
    seconds: float
    resumed_at: int
    peak_memory_gib: float
    token_budget: int
    gradient_checkpointing: bool
    join_difference: float | None = None
    join_bound: float | None = None
    join_weight_difference: float | None = None
    phase1_effect: float | None = None
    consumed: dict[str, int] = field(default_factory=dict)

    def facts(self) -> dict:
        """As they stand in a stage's manifest, with the speed of what was trained since `resumed_at`."""
        share = 1 - self.resumed_at / self.optimizer_steps
        speed = self.total_tokens * share / self.seconds if share and self.seconds else None
        return {key: value for key, value in self.__dict__.items() if key != "consumed"} | {
            "tokens_per_second": speed
        }


def optimizer_steps(sequences: int, phase: PhaseParams) -> int:
    """Steps of the recipe for so many rows, or packed sequences. Raises TrainingError below one batch."""
    if sequences < phase.effective_batch:
        raise TrainingError(
            f"{sequences} rows are fewer than one effective batch of {phase.effective_batch}; add rows or lower "
            "effective_batch"
        )
    return math.ceil(sequences / phase.effective_batch) * phase.epochs


def sequences_of(rows: Sequence[Encoded], phase: PhaseParams) -> list[dict]:
    """What an effective batch counts: the rows, or with `packing` sequences of max_length that hold several whole rows.

    Each has input_ids, labels, turns, and the lengths of its rows. Packing warns: it changes the number of steps.
    """
    single = [
        {
            "input_ids": r.input_ids,
            "labels": r.labels,
            "turns": r.turns,
            "lengths": [len(r.input_ids)],
        }
        for r in rows
    ]
    if not phase.packing:
        return single
    from datasets import Dataset
    from trl import pack_dataset

    bare = [{key: row[key] for key in ("input_ids", "labels", "turns")} for row in single]
    packed = (
        pack_dataset(Dataset.from_list(bare), phase.max_length, "bfd")
        .rename_column("seq_lengths", "lengths")
        .to_list()
    )
    _check_nothing_is_lost(rows, packed)
    warnings.warn(
        f"packing: {len(rows)} rows became {len(packed)} sequences, {optimizer_steps(len(packed), phase)} optimizer steps in "
        f"place of {optimizer_steps(len(rows), phase)}; this is another optimisation than the recipe's",
        stacklevel=2,
    )
    return packed


def _check_nothing_is_lost(rows: Sequence[Encoded], packed: list[dict]) -> None:
    """Every row must stand in the packed sequences whole and once. Raises TrainingError."""
    from lib.training.trainer import rows_in

    found = [(row["input_ids"], row["labels"]) for sequence in packed for row in rows_in(sequence)]
    if sorted(found) != sorted((r.input_ids, r.labels) for r in rows):
        raise TrainingError(
            f"packing changed rows ({len(rows)} given, {len(found)} kept); pin the trl version of the lock"
        )


def fit(
    model,
    tokenizer,
    rows: Sequence[Encoded],
    phase: PhaseParams,
    training: TrainingParams,
    seed: int,
    checkpoints: Path,
    progress: Callable | None,
) -> Trained:
    """Trains the model's trainable adapter by the recipe, going on from the last checkpoint in `checkpoints`.

    Raises TrainingError: too few rows, no memory or disk, NaN, other steps or tokens than the recipe's.
    Eight parameters: model, data, recipe and the place of checkpoints; the phases name the same.
    """
    from lib.training.trainer import checkpointing_undone

    with checkpointing_undone(model):
        return _fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)


def _fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress) -> Trained:
    """`fit` without its clean-up. Eight parameters: those of `fit`."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    from lib.training.lora_linear import few_kernels
    from lib.training.trainer import (
        DivergedError,
        PhaseTrainer,
        attention_by_rows,
        collate,
        last_checkpoint,
        without_walks,
    )

    disable_progress_bars()
    sequences = sequences_of(rows, phase)
    steps = optimizer_steps(len(sequences), phase)
    lengths = [len(row.input_ids) for row in rows]
    chosen = memory.plan(
        model, training, max(lengths), round(sum(lengths) / len(sequences) * phase.effective_batch)
    )
    if training.memory_gib is not None:
        print(
            f"{training.memory_gib} GiB: micro-batches of {chosen.token_budget} tokens, "
            f"{'with' if chosen.gradient_checkpointing else 'without'} gradient checkpointing"
        )
    trainer = PhaseTrainer(
        model=model,
        args=_arguments(phase, training, chosen, steps, seed, checkpoints),
        train_dataset=Dataset.from_list(sequences),
        data_collator=partial(collate, token_budget=chosen.token_budget),
        processing_class=tokenizer,
        callbacks=[_callback(progress)],
        identity=fingerprint([phase.model_dump(), seed, [s["input_ids"] for s in sequences]]),
    )
    trainer.remove_callback(PrinterCallback)  # the notebook draws the loss instead
    _check_labels_survive(trainer, sequences)
    for layer in model.modules():
        if model.device.type == "cuda" and hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = (
                False  # under autocast PEFT's cast of every input to fp32 is pure waste
            )
    model.train()
    resumed, started = last_checkpoint(checkpoints), time.time()
    if resumed:
        print(f"resuming at {resumed.name} of {steps} steps")
    with (
        memory.out_of_space(chosen, training),
        memory.bounded(model, training),
        attention_by_rows(model),
        few_kernels(model),
        without_walks(model),
    ):
        try:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except DivergedError:
            shutil.rmtree(
                checkpoints, ignore_errors=True
            )  # or every further start would go on from its NaN
            raise
    seconds = time.time() - started
    if trainer.state.global_step != steps:
        raise TrainingError(
            f"{trainer.state.global_step} optimizer steps were made, the recipe says {steps}"
        )
    losses = [(e["step"], e["loss"]) for e in trainer.state.log_history if "loss" in e]
    model.eval()
    return Trained(
        optimizer_steps=steps,
        trained_tokens=trainer.consumed_tokens,
        consumed=dict(trainer.consumed),
        total_tokens=phase.epochs * sum(len(r.input_ids) for r in rows),
        losses=losses,
        turn_losses=trainer.turn_losses,
        seconds=round(seconds, 2),
        resumed_at=int(resumed.name[11:]) if resumed else 0,
        peak_memory_gib=round(memory.peak_gib(model), 2),
        **chosen.__dict__,
    )


def _arguments(
    phase: PhaseParams,
    training: TrainingParams,
    chosen: memory.Plan,
    steps: int,
    seed: int,
    checkpoints: Path,
):
    import torch
    from trl import SFTConfig

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}: each process would add an effective batch of its own; "
            "start one process, without torchrun"
        )
    gpu = torch.cuda.is_available()
    logging.getLogger("liger_kernel").setLevel(
        logging.ERROR
    )  # it warns of every backend that is for another card
    log_steps = max(1, steps // MOST_LOGS)
    warmup = phase.warmup if phase.warmup >= 1 else math.ceil(phase.warmup * steps)
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        seed=seed,
        data_seed=seed,
        num_train_epochs=phase.epochs,
        per_device_train_batch_size=phase.effective_batch,
        gradient_accumulation_steps=1,  # PhaseTrainer cuts the batch
        learning_rate=phase.learning_rate,
        lr_scheduler_type=phase.scheduler,
        warmup_steps=int(warmup),
        weight_decay=phase.weight_decay,
        max_grad_norm=1.0,
        max_length=phase.max_length,
        packing=False,
        bf16=gpu,
        use_cpu=not gpu,
        use_liger_kernel=gpu and importlib.util.find_spec("liger_kernel") is not None,
        gradient_checkpointing=chosen.gradient_checkpointing,
        logging_steps=log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # the trainer would otherwise log a NaN loss as the last finite one
        # A checkpoint holds no half-filled mean: it falls on a logged step.
        save_strategy="steps",
        save_steps=math.ceil(training.checkpoint_steps / log_steps) * log_steps,
        save_total_limit=2,
        report_to=training.report_to,
        disable_tqdm=True,
        dataloader_num_workers=0,
        optim="adamw_torch_fused" if gpu else "adamw_torch",
        accelerator_config={"non_blocking": gpu},
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one GPU trains, however many there are
    return arguments


def _check_labels_survive(trainer, sequences: Sequence[dict]) -> None:
    """The model must see the tokens and labels that were proven, whole. Raises TrainingError."""
    seen = [(list(row["input_ids"]), list(row["labels"])) for row in trainer.train_dataset]
    if seen != [(row["input_ids"], row["labels"]) for row in sequences]:
        raise TrainingError(
            f"the trainer changed tokens or labels of proven rows ({len(sequences)} given, {len(seen)} kept); pin the trl "
            "version of the lock"
        )


def _callback(progress: Callable | None):
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_log |= (
                state.global_step == state.max_steps
            )  # or the last steps would be in no loss
            if progress:
                progress(state.global_step, state.max_steps)

    return Steps()
