"""Both SFT phases on PEFT (docs/protocol.md section 4): rows in, one plain adapter out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lib.config.schema import PhaseParams, TrainingParams
from lib.run.runs import atomic_path, write_json
from lib.training.adapters import (
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
from lib.training.loop import Trained, fit
from lib.training.masking import Encoded, encode
from lib.training.memory import TrainingError, disk_space


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


def trained_tokens(
    tokenizer, kinds: Mapping[str, Sequence[dict]], max_length: int
) -> dict[str, int]:
    """Tokens that one epoch on the traces of each kind trains. Raises masking.MaskError."""
    totals = {}
    for kind, traces in kinds.items():
        encoded = encode_rows(tokenizer, [trace["messages"] for trace in traces], max_length)
        totals[kind] = sum(row.trained_tokens for row in encoded)
    return totals


def train_phase1(
    base,
    tokenizer,
    rows: Sequence[Encoded],
    phase: PhaseParams,
    out: Path,
    *,
    seed: int,
    base_digest: str,
    training: TrainingParams,
    checkpoints: Path,
    progress: Callable | None = None,
) -> Trained:
    """Trains a fresh adapter on the bare base and saves it to `out`; the base comes back unchanged.

    checkpoints: a folder of this training alone, from which a killed one continues; removed at the end.
    Ten parameters: all that the adapter's bytes depend on, and where it and its checkpoints go.
    """
    from peft import get_peft_model

    _seed(seed)
    model = get_peft_model(base, lora_config(phase))
    try:
        trained = fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        _save(model, "default", out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def train_phase2(
    base,
    tokenizer,
    rows: Sequence[Encoded],
    phase,
    phase1: Path | None,
    out: Path,
    *,
    seed: int,
    base_digest: str,
    phase1_recipe: PhaseParams,
    training: TrainingParams,
    checkpoints: Path,
    progress: Callable | None = None,
) -> Trained:
    """Trains the EM set on top of Phase 1 and saves one adapter for serving to `out`.

    phase1: the Phase-1 adapter, or None for an arm without one. In `stack` it stays frozen and active below a new
    adapter and both are joined; in `continue` it is trained further, and an arm without one trains a fresh adapter of
    Phase 1's rank, alpha and scaling so that all arms get the same Phase 2. Raises AdapterError, TrainingError.
    Twelve parameters: those of Phase 1, the adapter below and its recipe.
    """
    from peft import PeftModel, get_peft_model

    _seed(seed)
    if phase.mode == "stack":
        model = (
            attach_stack(base, phase1, lora_config(phase))
            if phase1
            else get_peft_model(base, lora_config(phase))
        )
        name = JOINED if phase1 else "default"
    else:
        recipe = phase.model_copy(
            update=phase1_recipe.model_dump(include={"rank", "alpha", "rslora"})
        )
        if phase1:
            check_shape(phase1, recipe)
        model = (
            PeftModel.from_pretrained(base, phase1, is_trainable=True)
            if phase1
            else get_peft_model(base, lora_config(recipe))
        )
        name = "default"
    try:
        effect = _phase1_effect(model, phase.mode) if phase1 else None
        trained = fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        difference = bound = weights = None
        if phase.mode == "stack" and phase1:
            check_stack(model)
            difference, bound, weights = join(model.eval())
        _save(model, name, out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Trained(
        **{
            **trained.__dict__,
            "join_difference": difference,
            "join_bound": bound,
            "join_weight_difference": weights,
            "phase1_effect": effect,
        }
    )


def _phase1_effect(model, mode: str) -> float:
    """Largest logit change that the Phase-1 adapter makes before Phase 2 has trained anything. Raises when none."""
    import numpy as np

    from lib.training.adapters import AdapterError

    model.eval()
    with_phase1 = fixed_logits(model)
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if mode == "stack":
        model.base_model.set_adapter([PHASE2])
        without = fixed_logits(model)
        model.base_model.set_adapter([PHASE1, PHASE2])
    else:
        with model.disable_adapter():
            without = fixed_logits(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in trains
    effect = float(np.abs(with_phase1 - without).max())
    if not effect > 0:
        raise AdapterError(
            "Phase 1 has no effect on the logits below Phase 2; it is inactive or untrained, train it again"
        )
    return effect


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)  # before the adapter exists: its A matrices are random


def _save(model, name: str, out: Path, base_digest: str) -> None:
    """One plain PEFT adapter in `out`, with the digest of its base beside it."""
    with disk_space(), atomic_path(out) as beside:
        model.save_pretrained(beside, selected_adapters=[name], save_embedding_layers=False)
        if name != "default":  # PEFT puts named adapters into a folder of their own
            for file in (beside / name).iterdir():
                file.rename(beside / file.name)
            (beside / name).rmdir()
        (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        write_json(beside / BASE_FILE, {"base": base_digest})
        check_finite(beside, out.name)
