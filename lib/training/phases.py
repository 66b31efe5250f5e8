"""Both SFT phases on PEFT. Each takes rows and saves one plain adapter.

docs/protocol.md section 4.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.config.recipes import Phase2Params, PhaseParams, TrainingParams
from lib.run.files import atomic_path, write_json
from lib.training.adapters import (
    BASE_FILE,
    AdapterError,
    check_finite,
    check_shape,
    check_weights,
    lora_config,
    sort_targets,
    tuner_of,
)
from lib.training.logits import fixed_logits
from lib.training.loop import Progress, fit
from lib.training.masking import Encoded, encode
from lib.training.memory import TrainingError, disk_space
from lib.training.stacking import JOINED, PHASE1, PHASE2, attach_stack, check_stack, join
from lib.training.trained import Trained

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT = "default"  # PEFT's name for an adapter that was given none


def check_equal_steps(steps: Mapping[str, int]) -> None:
    """Raises TrainingError unless every arm of Phase 2 made equally many optimizer steps."""
    if len(set(steps.values())) > 1:
        raise TrainingError(
            f"Phase-2 optimizer steps differ between arms: {steps}; set phase2.rows so that every "
            "EM set fills it"
        )


def encode_rows(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[list[dict]],
    max_length: int,
    *,
    bare: bool = False,
) -> list[Encoded]:
    """Encode every row and prove its mask. Raises masking.MaskError with the row's number.

    bare: whether the rows have no system turn (`phase2.system: none`).
    """
    rows = []
    for number, messages in enumerate(conversations, start=1):
        try:
            rows.append(encode(tokenizer, messages, max_length, bare=bare))
        except ValueError as error:
            raise type(error)(f"training row {number}: {error}") from None
    return rows


def trained_tokens(
    tokenizer: PreTrainedTokenizerBase, kinds: Mapping[str, Sequence[dict]], max_length: int
) -> dict[str, int]:
    """Tokens with loss in one epoch on the traces of each kind. Raises masking.MaskError."""
    totals = {}
    for kind, traces in kinds.items():
        encoded = encode_rows(tokenizer, [trace["messages"] for trace in traces], max_length)
        totals[kind] = sum(row.trained_tokens for row in encoded)
    return totals


def train_phase1(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Encoded],
    phase: PhaseParams,
    out: Path,
    *,
    seed: int,
    base_digest: str,
    training: TrainingParams,
    checkpoints: Path,
    progress: Progress | None = None,
) -> Trained:
    """Train a fresh adapter on the bare base and save it to `out`. The base stays unchanged.

    checkpoints: a folder for this training alone. A killed training continues from it, and a
    finished one removes it.
    Raises TrainingError, AdapterError.
    Ten parameters: all that the adapter's bytes depend on, and where it and its checkpoints go.
    """
    from peft import get_peft_model

    _seed(seed)
    model = get_peft_model(base, lora_config(phase))
    try:
        trained = fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        _save(model, DEFAULT, out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return trained


def train_phase2(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Encoded],
    phase: Phase2Params,
    phase1: Path | None,
    out: Path,
    *,
    seed: int,
    base_digest: str,
    phase1_recipe: PhaseParams,
    training: TrainingParams,
    checkpoints: Path,
    progress: Progress | None = None,
) -> Trained:
    """Train the EM set on top of Phase 1 and save one adapter for serving to `out`.

    In `stack` the Phase-1 adapter stays frozen and active below a new adapter, and both are
    joined at the end. In `continue` the Phase-1 adapter itself is trained further; an arm without
    one trains a fresh adapter of Phase 1's rank, alpha and scaling, so that all arms get the same
    Phase 2.

    phase1: the Phase-1 adapter, or None for an arm without one.
    Raises TrainingError, AdapterError.
    Twelve parameters: those of Phase 1, the adapter below and its recipe.
    """
    _seed(seed)
    model = _with_phase2(base, phase, phase1, phase1_recipe)
    stacked = phase.mode == "stack" and phase1 is not None
    try:
        effect = _phase1_effect(model, phase.mode) if phase1 else None
        trained = fit(model, tokenizer, rows, phase, training, seed, checkpoints, progress)
        difference = bound = weight_difference = None
        if stacked:
            check_stack(model)
            difference, bound, weight_difference = join(model.eval())
        _save(model, JOINED if stacked else DEFAULT, out, base_digest)
    finally:
        model.unload()
    shutil.rmtree(checkpoints, ignore_errors=True)
    return replace(
        trained,
        join_difference=difference,
        join_bound=bound,
        join_weight_difference=weight_difference,
        phase1_effect=effect,
    )


def _with_phase2(
    base: PreTrainedModel, phase: Phase2Params, phase1: Path | None, phase1_recipe: PhaseParams
) -> PeftModel:
    """The base with the adapter that Phase 2 trains, and in `stack` the frozen one below it."""
    from peft import PeftModel, get_peft_model

    if phase.mode == "stack":
        if phase1:
            return attach_stack(base, phase1, lora_config(phase))
        return get_peft_model(base, lora_config(phase))
    shape = phase1_recipe.model_dump(include={"rank", "alpha", "rslora"})
    recipe = phase.model_copy(update=shape)
    if phase1:
        check_weights(phase1)
        check_shape(phase1, recipe)
        return PeftModel.from_pretrained(base, phase1, is_trainable=True)
    return get_peft_model(base, lora_config(recipe))


def _phase1_effect(model: PeftModel, mode: str) -> float:
    """Largest logit change by the Phase-1 adapter before Phase 2 has trained anything.

    Raises AdapterError if the adapter changes nothing.
    """
    model.eval()
    with_phase1 = fixed_logits(model)
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if mode == "stack":
        tuner_of(model).set_adapter([PHASE2])
        without = fixed_logits(model)
        tuner_of(model).set_adapter([PHASE1, PHASE2])
    else:
        with model.disable_adapter():
            without = fixed_logits(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in trains
    effect = float(np.abs(with_phase1 - without).max())
    if not effect > 0:
        raise AdapterError(
            "Phase 1 has no effect on the logits below Phase 2; it is inactive or untrained, train "
            "it again"
        )
    return effect


def _seed(seed: int) -> None:
    """Seed every random generator."""
    from transformers import set_seed

    set_seed(seed)  # before the adapter exists: its A matrices are random


def _save(model: PeftModel, name: str, out: Path, base_digest: str) -> None:
    """Write one plain PEFT adapter to `out`, with the digest of its base beside it.

    Raises AdapterError for a weight that is not finite.
    """
    with disk_space(), atomic_path(out) as beside:
        model.save_pretrained(str(beside), selected_adapters=[name], save_embedding_layers=False)
        if name != DEFAULT:  # PEFT puts named adapters into a folder of their own
            for file in (beside / name).iterdir():
                file.rename(beside / file.name)
            (beside / name).rmdir()
        (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        sort_targets(beside)
        write_json(beside / BASE_FILE, {"base": base_digest})
        check_finite(beside, out.name)
