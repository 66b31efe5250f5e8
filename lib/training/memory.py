"""GPU memory of training: a bound that holds, micro-batches and checkpointing that fit it.

Where nothing fits, an error says what to lower.
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
OUTSIDE = 0.75  # GiB of a card that the CUDA context and kernels take, which no allocator sees
MARGIN = 1.15  # of the estimate: blocks that the allocator cannot give back while partly used


class TrainingError(ValueError):
    """A training run that cannot be what the recipe says; one line with the remedy."""


@dataclass(frozen=True)
class Plan:
    """How an effective batch is carried out; changes speed and memory, never the optimisation."""

    token_budget: int
    """Tokens per micro-batch."""

    gradient_checkpointing: bool
    """Whether the backward recomputes activations."""


def bytes_per_token(config: PretrainedConfig, itemsize: int) -> tuple[int, int]:
    """Activation bytes that one token of a micro-batch keeps until its backward.

    A decoder layer keeps its two norms' inputs and outputs, q, k and v at full width, attention's
    output and residual (8 widths), and gate, up and their product (3 MLP widths). With
    checkpointing it keeps only its input, and one layer at a time is kept in full. The backward
    holds gradients of about one more layer.

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
    """The micro-batches and checkpointing that fit `training.memory_gib`; as asked if it is null.

    Args:
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
    fixed = 0
    for parameter in model.parameters():
        fixed += parameter.numel() * parameter.element_size()
        if parameter.requires_grad:  # gradient, Adam, and copies in two bytes
            fixed += parameter.numel() * (4 * parameter.element_size() + 2)
    per_token = bytes_per_token(model.config, model.dtype.itemsize)
    return choose(asked, training.memory_gib, fixed / GIB, per_token, longest, usual)


def choose(
    asked: Plan,
    memory_gib: float,
    fixed_gib: float,
    per_token: tuple[int, int],
    longest: int,
    usual: int,
) -> Plan:
    """`plan` on plain numbers.

    Checkpointing is tried before a cut of the usual effective batch: it costs a third more
    arithmetic, while each further micro-batch costs a launch of every kernel.

    Args:
        fixed_gib: weights and optimizer.
        per_token: activation bytes without and with checkpointing.
    """
    room = (memory_gib - OUTSIDE - fixed_gib) / MARGIN * GIB
    tokens = [min(asked.token_budget, int(room // size)) for size in per_token]
    whole = max(longest, min(usual, asked.token_budget))
    if tokens[False] >= whole and not asked.gradient_checkpointing:
        return Plan(tokens[False], False)
    if int(room // per_token[True]) >= longest:
        return Plan(tokens[True], True)
    needed = fixed_gib + OUTSIDE + MARGIN * longest * per_token[True] / GIB
    raise TrainingError(
        f"training.memory_gib is {memory_gib}; a row of {longest} tokens needs about "
        f"{needed:.1f} GiB even with checkpointing; raise it, or lower max_length"
    )


@contextmanager
def bounded(model: PeftModel, training: TrainingParams) -> Iterator[None]:
    """Within the block a GPU's allocator refuses to go beyond `training.memory_gib`.

    The GPU's peak is counted from its beginning.
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
    import torch

    return torch.cuda.get_device_properties(model.device).total_memory / GIB


def peak_gib(model: PeftModel) -> float:
    """Peak memory in GiB: of the GPU's allocator since `bounded` began, or of the process on a CPU.

    On a CPU it is the peak resident memory.
    """
    import resource

    import torch

    if model.device.type == "cuda":
        return torch.cuda.max_memory_reserved() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def out_of_space(chosen: Plan, training: TrainingParams) -> Iterator[None]:
    """Turns a full memory or disk into one TrainingError that says what to lower.

    Nothing half-written is taken for finished.
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
    """Turns a full disk into one TrainingError.

    Only JSON files raise OSError: tensors are written by other libraries, with errors of their own.
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
