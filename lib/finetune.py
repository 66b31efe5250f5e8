"""Both SFT phases on TRL and PEFT (docs/protocol.md section 4): rows in, one plain adapter out."""

from __future__ import annotations

import errno
import importlib.util
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.adapters import (
    BASE_FILE,
    JOINED,
    PHASE1,
    PHASE2,
    attach_stack,
    check_finite,
    check_shape,
    check_stack,
    fixed_logits,
    join,
    lora_config,
)
from lib.masking import Encoded, encode
from lib.params import PhaseParams, TrainingParams
from lib.runs import atomic_path, write_json


class TrainingError(ValueError):
    """A training run that cannot be what the recipe says; one line with the remedy."""


@dataclass(frozen=True)
class Trained:
    """What a phase did: steps, tokens (there is no padding), loss a step and by turn, seconds, and checks' numbers.

    turn_losses: (step, assistant turn, mean loss in nats); seconds are those since `resumed_at`.
    """

    optimizer_steps: int
    trained_tokens: int
    total_tokens: int
    losses: list[tuple[int, float]]
    turn_losses: list[tuple[int, int, float]]
    seconds: float
    resumed_at: int
    peak_memory_gib: float
    join_difference: float | None = None
    join_bound: float | None = None
    phase1_effect: float | None = None

    def facts(self) -> dict:
        return {k: v for k, v in self.__dict__.items()}


def optimizer_steps(rows: int, phase: PhaseParams) -> int:
    """Steps of the recipe; equal in all arms of a phase because rows are. Raises TrainingError below one batch."""
    if rows < phase.effective_batch:
        raise TrainingError(
            f"{rows} rows are fewer than one effective batch of {phase.effective_batch}; add rows or lower effective_batch"
        )
    return math.ceil(rows / phase.effective_batch) * phase.epochs


def check_equal_steps(steps: dict[str, int]) -> None:
    """Raises TrainingError unless every arm of Phase 2 made equally many optimizer steps."""
    if len(set(steps.values())) > 1:
        raise TrainingError(
            f"Phase-2 optimizer steps differ between arms: {steps}; set phase2.rows so that every EM set fills it"
        )


def encode_rows(tokenizer, conversations: Sequence[list[dict]], max_length: int) -> list[Encoded]:
    """Encodes and proves every row. Raises masking.MaskError with the row's number."""
    rows = []
    for number, messages in enumerate(conversations, start=1):
        try:
            rows.append(encode(tokenizer, messages, max_length))
        except ValueError as error:
            raise type(error)(f"training row {number}: {error}") from None
    return rows


def train_phase1(base, tokenizer, rows: Sequence[Encoded], phase: PhaseParams, out: Path, *, seed: int, base_digest: str,
                 training: TrainingParams, checkpoints: Path, progress: Callable | None = None) -> Trained:
    """Trains a fresh adapter on the bare base and saves it to `out`; the base comes back unchanged.

    checkpoints: a folder of this training alone, from which a killed one goes on; removed at the end.
    """
    from peft import get_peft_model

    _seed(seed)
    model = get_peft_model(base, lora_config(phase))
    try:
        trained = _fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        _save(model, "default", out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def train_phase2(base, tokenizer, rows: Sequence[Encoded], phase, phase1: Path | None, out: Path, *, seed: int,
                 base_digest: str, phase1_recipe: PhaseParams, training: TrainingParams, checkpoints: Path,
                 progress: Callable | None = None) -> Trained:
    """Trains the EM set on top of Phase 1 and saves one adapter for serving to `out`.

    phase1: the Phase-1 adapter, or None for an arm without one. In `stack` it stays frozen and active below a new
    adapter and both are joined; in `continue` it is trained further, and an arm without one trains a fresh adapter of
    Phase 1's rank, alpha and scaling so that all arms get the same Phase 2. Raises AdapterError, TrainingError.
    """
    from peft import PeftModel, get_peft_model

    _seed(seed)
    if phase.mode == "stack":
        model = attach_stack(base, phase1, lora_config(phase)) if phase1 else get_peft_model(base, lora_config(phase))
        name = JOINED if phase1 else "default"
    else:
        recipe = phase.model_copy(update=phase1_recipe.model_dump(include={"rank", "alpha", "rslora"}))
        if phase1:
            check_shape(phase1, recipe)
        model = (PeftModel.from_pretrained(base, phase1, is_trainable=True) if phase1
                 else get_peft_model(base, lora_config(recipe)))
        name = "default"
    try:
        effect = _phase1_effect(model) if phase.mode == "stack" and phase1 else None
        trained = _fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        difference = bound = None
        if phase.mode == "stack" and phase1:
            check_stack(model)
            difference, bound = join(model.eval())
        _save(model, name, out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Trained(**{**trained.__dict__, "join_difference": difference, "join_bound": bound, "phase1_effect": effect})


def _phase1_effect(model) -> float:
    """Largest logit change that the frozen Phase-1 adapter makes below the still-zero Phase 2. Raises when none."""
    import numpy as np

    from lib.adapters import AdapterError

    model.eval()
    with_phase1 = fixed_logits(model)
    model.base_model.set_adapter([PHASE2])
    without = fixed_logits(model)
    model.base_model.set_adapter([PHASE1, PHASE2])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = f".{PHASE2}." in name
    effect = float(np.abs(with_phase1 - without).max())
    if not effect > 0:
        raise AdapterError("Phase 1 has no effect on the logits below Phase 2; it is inactive or untrained, train it again")
    return effect


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)  # before the adapter exists: its A matrices are random


def _fit(model, tokenizer, rows, phase: PhaseParams, training: TrainingParams, seed: int, checkpoints: Path, progress
         ) -> Trained:
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    from lib.trainer import Collator, PhaseTrainer, attention_by_rows, last_checkpoint

    disable_progress_bars()
    steps = optimizer_steps(len(rows), phase)
    dataset = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels, "turns": r.turns} for r in rows])
    trainer = PhaseTrainer(
        model=model, args=_arguments(phase, training, steps, seed, checkpoints), train_dataset=dataset,
        data_collator=Collator(tokenizer.pad_token_id), processing_class=tokenizer, token_budget=training.token_budget,
        callbacks=[_progress_callback(progress)] if progress else None,
    )
    trainer.remove_callback(PrinterCallback)  # the notebook draws the loss instead
    _check_labels_survive(trainer, rows)
    for layer in model.modules():
        if model.device.type == "cuda" and hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = False  # under autocast PEFT's cast of every input to fp32 is pure waste
    model.train()
    resumed, started = last_checkpoint(checkpoints), time.time()
    if resumed:
        print(f"resuming at {resumed.name} of {steps} steps")
    with _out_of_space(training), attention_by_rows(model):
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.time() - started
    if trainer.state.global_step != steps:
        raise TrainingError(f"{trainer.state.global_step} optimizer steps were made, the recipe says {steps}")
    losses = [(e["step"], e["loss"]) for e in trainer.state.log_history if "loss" in e]
    if not all(math.isfinite(loss) for _, loss in losses):
        raise TrainingError("the loss became NaN or infinite; lower the learning rate")
    model.eval()
    gpu = model.device.type == "cuda"
    return Trained(
        optimizer_steps=steps, trained_tokens=phase.epochs * sum(r.trained_tokens for r in rows),
        total_tokens=phase.epochs * sum(len(r.input_ids) for r in rows), losses=losses,
        turn_losses=trainer.turn_losses, seconds=round(seconds, 2), resumed_at=int(resumed.name[11:]) if resumed else 0,
        peak_memory_gib=round(_peak_memory(gpu), 2),
    )


def _peak_memory(gpu: bool) -> float:
    """GiB: the GPU allocator's peak, or the process's peak resident memory on a CPU."""
    import resource

    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def _out_of_space(training: TrainingParams):
    """A full memory or disk becomes one line that says what to lower; nothing half-written is taken for finished."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On a CPU the allocator raises a plain RuntimeError.
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"out of memory; lower training.token_budget (now {training.token_budget}) or set "
            f"training.gradient_checkpointing to true (now {str(training.gradient_checkpointing).lower()})"
        ) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise TrainingError("the disk is full; free some space and start again, finished steps are kept") from None


def _arguments(phase: PhaseParams, training: TrainingParams, steps: int, seed: int, checkpoints: Path):
    import torch
    from trl import SFTConfig

    gpu = torch.cuda.is_available()
    warmup = phase.warmup if phase.warmup >= 1 else math.ceil(phase.warmup * steps)
    return SFTConfig(
        output_dir=str(checkpoints), seed=seed, data_seed=seed, num_train_epochs=phase.epochs,
        per_device_train_batch_size=phase.effective_batch, gradient_accumulation_steps=1,  # PhaseTrainer cuts the batch
        learning_rate=phase.learning_rate, lr_scheduler_type=phase.scheduler, warmup_steps=int(warmup),
        weight_decay=phase.weight_decay, max_length=phase.max_length, packing=False, bf16=gpu, use_cpu=not gpu,
        use_liger_kernel=gpu and importlib.util.find_spec("liger_kernel") is not None,
        gradient_checkpointing=training.gradient_checkpointing, logging_steps=1, logging_first_step=True,
        logging_nan_inf_filter=False,  # the trainer would otherwise log a NaN loss as the last finite one
        save_strategy="steps", save_steps=training.checkpoint_steps, save_total_limit=2, report_to=training.report_to,
        disable_tqdm=True, dataloader_num_workers=0, optim="adamw_torch", remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _check_labels_survive(trainer, rows: Sequence[Encoded]) -> None:
    """The model must see the tokens and labels that were proven, whole. Raises TrainingError."""
    seen = [(list(row["input_ids"]), list(row["labels"])) for row in trainer.train_dataset]
    if seen != [(row.input_ids, row.labels) for row in rows]:
        raise TrainingError(
            f"the trainer changed tokens or labels of proven rows ({len(rows)} given, {len(seen)} kept); pin the trl "
            "version of the lock"
        )


def _progress_callback(progress: Callable):
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            progress(state.global_step, state.max_steps)

    return Steps()


def _save(model, name: str, out: Path, base_digest: str) -> None:
    """One plain PEFT adapter in `out`, with the digest of its base beside it."""
    with atomic_path(out) as beside:
        model.save_pretrained(beside, selected_adapters=[name], save_embedding_layers=False)
        if name != "default":  # PEFT puts named adapters into a folder of their own
            for file in (beside / name).iterdir():
                file.rename(beside / file.name)
            (beside / name).rmdir()
        (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        write_json(beside / BASE_FILE, {"base": base_digest})
        check_finite(beside, out.name)
