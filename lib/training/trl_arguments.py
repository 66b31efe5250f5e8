"""A phase's recipe as TRL's arguments (docs/protocol.md section 4)."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.recipes import PhaseParams, TrainingParams
from lib.training.memory import Plan, TrainingError

if TYPE_CHECKING:
    from trl import SFTConfig

MOST_LOGS = 100  # logged losses per training, about; each one waits for the GPU


def check_one_process() -> None:
    """Raise TrainingError if several processes train at once."""
    processes = os.environ.get("WORLD_SIZE") or "1"
    if processes != "1":
        raise TrainingError(
            f"WORLD_SIZE is {processes}: each process would add an effective batch of its own; "
            "start one process, without torchrun"
        )


def trl_arguments(
    phase: PhaseParams,
    training: TrainingParams,
    plan: Plan,
    steps: int,
    seed: int,
    checkpoints: Path,
) -> SFTConfig:
    """TRL's arguments for a phase of `steps` optimizer steps.

    Raises TrainingError if several processes train at once.
    """
    import torch
    from trl import SFTConfig

    check_one_process()
    gpu = torch.cuda.is_available()
    # Liger warns about every backend that is for another card.
    logging.getLogger("liger_kernel").setLevel(logging.ERROR)
    log_steps = max(1, steps // MOST_LOGS)
    warmup = phase.warmup if phase.warmup >= 1 else math.ceil(phase.warmup * steps)
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        seed=seed,
        data_seed=seed,
        num_train_epochs=phase.epochs,
        per_device_train_batch_size=phase.effective_batch,
        gradient_accumulation_steps=1,  # PhaseTrainer splits the batch
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
        gradient_checkpointing=plan.gradient_checkpointing,
        logging_steps=log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # on, it would log the last finite loss instead of NaN
        # Checkpoints are made at logged steps, when no mean loss is half collected.
        save_strategy="steps",
        save_steps=math.ceil(training.checkpoint_steps / log_steps) * log_steps,
        save_total_limit=None,  # checkpoints.finish removes old ones, by step and not by date
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
