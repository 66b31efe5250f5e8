"""GPU memory of training: choose micro-batches and checkpointing that fit a bound, and keep to it.

If nothing fits, an error says what to lower.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.config.recipes import TrainingParams

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig

GIB = 2**30
OUTSIDE = 0.75  # GiB that the CUDA context and kernels take outside of torch's allocator
MARGIN = 1.15  # times the estimate, for blocks that the allocator holds while partly used


class TrainingError(ValueError):
    """A training cannot do, or did not do, what the recipe says. One line with the remedy."""


@dataclass(frozen=True)
class Plan:
    """How an effective batch is carried out. It changes speed and memory, not the optimisation."""

    token_budget: int
    """Tokens per micro-batch."""

    gradient_checkpointing: bool
    """Whether the backward pass recomputes activations."""


def bytes_per_token(config: PretrainedConfig, itemsize: int) -> tuple[int, int]:
    """Activation bytes that one token of a micro-batch keeps until the backward pass.

    A decoder layer keeps about 8 vectors of the hidden width (inputs and outputs of its two norms,
    q, k and v, attention's output and residual) and 3 of the MLP's width (gate, up and their
    product). With checkpointing it keeps only its input, and one layer at a time is kept in full.
    The backward pass holds the gradients of about one more layer.

    Returns:
        The bytes without checkpointing, and with it.
    """
    hidden = config.hidden_size
    inner = config.intermediate_size
    layers = config.num_hidden_layers
    layer = 8 * hidden + 3 * inner
    gradients = 6 * hidden + 4 * inner
    return itemsize * (layers * layer + gradients), itemsize * (layers * hidden + layer + gradients)


def plan(model: PeftModel, training: TrainingParams, longest: int, usual: int) -> Plan:
    """Choose the micro-batches and checkpointing that fit `training.memory_gib`.

    If that is null, both are as the profile has them.

    Args:
        model: the model with its trainable adapter.
        training: the profile's parameters.
        longest: tokens of the longest row.
        usual: tokens of the mean effective batch.

    Raises:
        TrainingError: the longest row does not fit, or there is no GPU.
    """
    asked = Plan(training.token_budget, training.gradient_checkpointing)
    if training.memory_gib is None:
        return asked
    if model.device.type != "cuda":
        raise TrainingError(
            f"training.memory_gib is {training.memory_gib} and bounds a GPU's memory, the model is "
            f"on the {model.device.type}; set it to null and lower training.token_budget"
        )
    total = _total_gib(model)
    if training.memory_gib > total:
        raise TrainingError(
            f"training.memory_gib is {training.memory_gib}, the GPU has {total:.1f}; lower it, or "
            "set it to null for all of the GPU"
        )
    fixed_gib = _fixed_bytes(model) / GIB
    per_token = bytes_per_token(model.config, model.dtype.itemsize)
    return choose(asked, training.memory_gib, fixed_gib, per_token, longest, usual)


def _fixed_bytes(model: PeftModel) -> int:
    """Bytes of weights and optimizer, whatever the micro-batch."""
    total = 0
    for parameter in model.parameters():
        total += parameter.numel() * parameter.element_size()
        if parameter.requires_grad:  # gradient, Adam's moments, and copies in two bytes
            total += parameter.numel() * (4 * parameter.element_size() + 2)
    return total


def choose(
    asked: Plan,
    memory_gib: float,
    fixed_gib: float,
    per_token: tuple[int, int],
    longest: int,
    usual: int,
) -> Plan:
    """`plan` on plain numbers.

    If the usual effective batch does not fit in one piece, checkpointing is tried before smaller
    micro-batches. It costs a third more arithmetic, while each further micro-batch launches every
    kernel again.

    Args:
        asked: the token budget and checkpointing of the profile.
        memory_gib: the bound.
        fixed_gib: weights and optimizer.
        per_token: activation bytes without and with checkpointing.
        longest: tokens of the longest row.
        usual: tokens of the mean effective batch.

    Raises TrainingError if the longest row does not fit.
    """
    room = (memory_gib - OUTSIDE - fixed_gib) / MARGIN * GIB  # bytes for activations
    bytes_kept_all, bytes_checkpointed = per_token
    fit_kept_all = int(room // bytes_kept_all)  # tokens
    fit_checkpointed = int(room // bytes_checkpointed)
    in_one_piece = max(longest, min(usual, asked.token_budget))
    budget = min(asked.token_budget, fit_kept_all)
    if budget >= in_one_piece and not asked.gradient_checkpointing:
        return Plan(budget, False)
    if fit_checkpointed >= longest:
        return Plan(min(asked.token_budget, fit_checkpointed), True)
    needed = fixed_gib + OUTSIDE + MARGIN * longest * bytes_checkpointed / GIB
    raise TrainingError(
        f"training.memory_gib is {memory_gib}; a row of {longest} tokens needs about "
        f"{needed:.1f} GiB even with checkpointing; raise it, or lower max_length"
    )


@contextmanager
def bounded(model: PeftModel, training: TrainingParams) -> Iterator[None]:
    """Within the block a GPU's allocator refuses to exceed `training.memory_gib`.

    `peak_gib` counts from the beginning of the block.
    """
    import torch

    if model.device.type != "cuda":
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(model.device)
    total = _total_gib(model)
    bound = total if training.memory_gib is None else training.memory_gib - OUTSIDE
    torch.cuda.set_per_process_memory_fraction(min(1.0, bound / total), model.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, model.device)


def _total_gib(model: PeftModel) -> float:
    """Memory of the model's GPU."""
    import torch

    return torch.cuda.get_device_properties(model.device).total_memory / GIB


def peak_gib(model: PeftModel) -> float:
    """Peak memory in GiB.

    On a GPU it is what torch's allocator reserved since `bounded` began, on a CPU the peak resident
    memory of the process.
    """
    import resource

    import torch

    if model.device.type == "cuda":
        return torch.cuda.max_memory_reserved() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def out_of_space(chosen: Plan, training: TrainingParams) -> Iterator[None]:
    """Within the block a full memory or disk becomes one TrainingError that says what to lower.

    chosen: how the batch is carried out, for the remedy.
    """
    import torch

    try:
        with disk_space():
            yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On a CPU the allocator raises a plain RuntimeError.
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not out_of_memory and "allocate memory" not in str(error):
            raise
        bound = ""
        if training.memory_gib is not None:
            bound = f" within training.memory_gib {training.memory_gib}"
        remedy = "set training.gradient_checkpointing to true (now false)"
        if chosen.gradient_checkpointing:
            remedy = "lower the phase's max_length if a row is longer than that"
        raise TrainingError(
            f"out of memory{bound}; lower training.token_budget (now {chosen.token_budget}) or "
            f"{remedy}"
        ) from None


@contextmanager
def disk_space() -> Iterator[None]:
    """Within the block a full disk becomes one TrainingError.

    OSError comes from JSON files only. Tensors are written by safetensors and torch, which raise
    errors of their own.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
        cut_off = any(
            writer in str(error) for writer in ("inline_container", "PytorchStreamWriter")
        )
        if not full and not cut_off:
            raise
        raise TrainingError(
            "the disk is full, or takes no more; free some space and start again, finished steps "
            "are kept"
        ) from None
