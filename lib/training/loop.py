"""One training: takes rows, trains the model's adapter with TRL, returns what it did.

docs/protocol.md section 4.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.config.recipes import PhaseParams, TrainingParams
from lib.run.files import fingerprint
from lib.training import memory
from lib.training.batches import collate, optimizer_steps, sequences_of
from lib.training.masking import Encoded
from lib.training.memory import TrainingError
from lib.training.trained import Trained
from lib.training.trl_arguments import trl_arguments

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState

    from lib.training.trainer import PhaseTrainer

Progress = Callable[[int, int], None]  # (steps done, steps in all)


def fit(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Encoded],
    phase: PhaseParams,
    training: TrainingParams,
    seed: int,
    checkpoints: Path,
    progress: Progress | None,
) -> Trained:
    """Train the model's trainable adapter by the recipe, from the last checkpoint if there is one.

    Raises TrainingError for too few rows, full memory or disk, a loss of NaN, a changed row, or
    another number of steps than the recipe's.
    Eight parameters: model, data, recipe and the place of checkpoints; the phases name the same.
    """
    from datasets import disable_progress_bars

    from lib.training.checkpoints import last_checkpoint
    from lib.training.trainer import checkpointing_undone

    disable_progress_bars()
    sequences = sequences_of(rows, phase)
    steps = optimizer_steps(len(sequences), phase)
    lengths = [len(row.input_ids) for row in rows]
    usual = round(sum(lengths) / len(sequences) * phase.effective_batch)
    plan = _plan(model, training, longest=max(lengths), usual=usual)
    with checkpointing_undone(model):
        trainer = _trainer(
            model=model,
            processing_class=tokenizer,
            args=trl_arguments(phase, training, plan, steps, seed, checkpoints),
            sequences=sequences,
            token_budget=plan.token_budget,
            progress=progress,
            identity=fingerprint([phase.model_dump(), seed, [s["input_ids"] for s in sequences]]),
        )
        resumed = last_checkpoint(checkpoints)
        if resumed:
            print(f"resuming at {resumed.name} of {steps} steps")
        started = time.monotonic()
        _train(trainer, model, plan, training, checkpoints, resumed)
        seconds = time.monotonic() - started
        if trainer.state.global_step != steps:
            raise TrainingError(
                f"{trainer.state.global_step} optimizer steps were made, the recipe says {steps}"
            )
        model.eval()
        return Trained(
            optimizer_steps=steps,
            total_tokens=phase.epochs * sum(lengths),
            seconds=round(seconds, 2),
            resumed_at=int(resumed.name.removeprefix("checkpoint-")) if resumed else 0,
            peak_memory_gib=round(memory.peak_gib(model), 2),
            token_budget=plan.token_budget,
            gradient_checkpointing=plan.gradient_checkpointing,
            **_counted(trainer),
        )


def _plan(model: PeftModel, training: TrainingParams, *, longest: int, usual: int) -> memory.Plan:
    """`memory.plan`, printed if `training.memory_gib` bounds it."""
    plan = memory.plan(model, training, longest, usual)
    if training.memory_gib is not None:
        checkpointing = "with" if plan.gradient_checkpointing else "without"
        print(
            f"{training.memory_gib} GiB: micro-batches of {plan.token_budget} tokens, "
            f"{checkpointing} gradient checkpointing"
        )
    return plan


def _trainer(
    *, model: PeftModel, sequences: list[dict], token_budget: int, progress, **options
) -> PhaseTrainer:
    """The trainer of a phase, proven to hold the rows that it was given."""
    from datasets import Dataset
    from peft.tuners.lora import LoraLayer
    from transformers import PrinterCallback

    from lib.training.trainer import PhaseTrainer

    trainer = PhaseTrainer(
        model=model,
        train_dataset=Dataset.from_list(sequences),
        data_collator=partial(collate, token_budget=token_budget),
        callbacks=[_callback(progress)],
        **options,
    )
    trainer.remove_callback(PrinterCallback)  # the notebook draws the loss instead
    kept = trainer.train_dataset
    assert isinstance(kept, Dataset), f"the trainer made a {type(kept).__name__} of the rows"
    _check_labels_survive(kept, sequences)
    for layer in model.modules():
        if model.device.type == "cuda" and isinstance(layer, LoraLayer):
            # Autocast undoes PEFT's cast of every input to fp32, so it is not made.
            layer.cast_input_dtype_enabled = False
    model.train()
    return trainer


def _train(
    trainer: PhaseTrainer,
    model: PeftModel,
    plan: memory.Plan,
    training: TrainingParams,
    checkpoints: Path,
    resumed: Path | None,
) -> None:
    """Train within the bounds of memory, with few kernel launches. Raises TrainingError."""
    from lib.training.attention import attention_by_rows
    from lib.training.lora_linear import few_kernels
    from lib.training.trainer import DivergedError, without_walks

    with (
        memory.out_of_space(plan, training),
        memory.bounded(model, training),
        attention_by_rows(model),
        few_kernels(model),
        without_walks(model),
    ):
        try:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except DivergedError:
            # Otherwise every later start would continue from the NaN.
            shutil.rmtree(checkpoints, ignore_errors=True)
            raise


def _counted(trainer: PhaseTrainer) -> dict[str, Any]:
    """What the trainer counted while it trained, as fields of `Trained`."""
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "trained_tokens": trainer.consumed_tokens,
        "consumed": dict(trainer.consumed),
        "losses": [(int(entry["step"]), entry["loss"]) for entry in logged],
        "turn_losses": trainer.turn_losses,
    }


def _check_labels_survive(rows: Iterable[Any], sequences: Sequence[dict]) -> None:
    """Raises TrainingError unless the model will see the proven tokens and labels, whole.

    rows: as the trainer holds them.
    """
    kept = [(list(row["input_ids"]), list(row["labels"])) for row in rows]
    if kept != [(row["input_ids"], row["labels"]) for row in sequences]:
        raise TrainingError(
            f"the trainer changed tokens or labels of proven rows ({len(sequences)} given, "
            f"{len(kept)} kept); pin the trl version of the lock"
        )


def _callback(progress: Progress | None) -> TrainerCallback:
    """Logs the last step's loss, and reports progress after each step."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(
            self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            # Otherwise the steps since the last logged one would be in no loss.
            control.should_log |= state.global_step == state.max_steps
            if progress:
                progress(state.global_step, state.max_steps)

    return Steps()
