"""GPU memory of training: a bound that holds, micro-batches and checkpointing that fit it, and what to lower when not."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass

from lib.config.schema import TrainingParams

GIB = 2**30
OUTSIDE = 0.75  # GiB of a card that the CUDA context and kernels take, which no allocator sees
MARGIN = (
    1.15  # of the estimate: blocks that the allocator cannot give back while they are partly used
)


class TrainingError(ValueError):
    """A training run that cannot be what the recipe says; one line with the remedy."""


@dataclass(frozen=True)
class Plan:
    """How an effective batch is carried out; changes speed and memory, never the optimisation."""

    token_budget: int
    gradient_checkpointing: bool


def bytes_per_token(config, itemsize: int) -> tuple[int, int]:
    """Activation bytes that one token of a micro-batch keeps until its backward, without and with checkpointing.

    A decoder layer keeps its two norms' inputs and outputs, q, k and v at full width, attention's output and residual (8
    widths) and gate, up and their product (3 MLP widths); with checkpointing only its input, and one layer at a time in
    full. The backward holds gradients of about one layer beside it.
    """
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    layer, gradients = 8 * hidden + 3 * inner, 6 * hidden + 4 * inner
    return itemsize * (layers * layer + gradients), itemsize * (layers * hidden + layer + gradients)


def plan(model, training: TrainingParams, longest: int, usual: int) -> Plan:
    """The micro-batches and checkpointing that fit `training.memory_gib`; as asked where that is null.

    longest: tokens of the longest row; usual: of an effective batch. Raises TrainingError when the longest row does not
    fit, or there is no GPU.
    """
    asked = Plan(training.token_budget, training.gradient_checkpointing)
    if training.memory_gib is None:
        return asked
    if model.device.type != "cuda":
        raise TrainingError(
            f"training.memory_gib is {training.memory_gib} and bounds a GPU's memory, the model is on the "
            f"{model.device.type}; set it to null and lower training.token_budget"
        )
    have = _total_gib(model)
    if training.memory_gib > have:
        raise TrainingError(
            f"training.memory_gib is {training.memory_gib}, the GPU has {have:.1f}; lower it, or set it to "
            "null for all of the GPU"
        )
    parameters = list(model.parameters())
    fixed = sum(p.numel() * p.element_size() for p in parameters)
    fixed += sum(
        p.numel() * (4 * p.element_size() + 2) for p in parameters if p.requires_grad
    )  # gradient, Adam, its copies
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
    """`plan` on plain numbers: GiB of weights and optimizer, activation bytes a token without and with checkpointing.

    Checkpointing comes before a cut of the usual effective batch: it costs a third more arithmetic, each further
    micro-batch a launch of every kernel.
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
        f"training.memory_gib is {memory_gib}; a row of {longest} tokens needs about {needed:.1f} GiB even with "
        "checkpointing; raise it, or lower max_length"
    )


@contextmanager
def bounded(model, training: TrainingParams):
    """Within the block, from which a GPU's peak counts, its allocator refuses to go beyond `training.memory_gib`."""
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


def _total_gib(model) -> float:
    import torch

    return torch.cuda.get_device_properties(model.device).total_memory / GIB


def peak_gib(model) -> float:
    """GiB: what the GPU's allocator held at most since `bounded` began, or the process's peak resident memory on a CPU."""
    import resource

    import torch

    if model.device.type == "cuda":
        return torch.cuda.max_memory_reserved() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def out_of_space(chosen: Plan, training: TrainingParams):
    """A full memory or disk becomes one line that says what to lower; nothing half-written is taken for finished."""
    import torch

    try:
        with disk_space():
            yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On a CPU the allocator raises a plain RuntimeError.
        if not isinstance(
            error, (torch.OutOfMemoryError, MemoryError)
        ) and "allocate memory" not in str(error):
            raise
        bound = (
            f" within training.memory_gib {training.memory_gib}"
            if training.memory_gib is not None
            else ""
        )
        less = (
            "lower the phase's max_length if a row is longer than that"
            if chosen.gradient_checkpointing
            else "set training.gradient_checkpointing to true (now false)"
        )
        raise TrainingError(
            f"out of memory{bound}; lower training.token_budget (now {chosen.token_budget}) or {less}"
        ) from None


@contextmanager
def disk_space():
    """A disk that takes no more becomes one line. Only JSON files raise OSError: tensors are written by other libraries."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
        if not full and not any(
            name in str(error) for name in ("inline_container", "PytorchStreamWriter")
        ):
            raise
        raise TrainingError(
            "the disk is full, or takes no more; free some space and start again, finished steps are kept"
        ) from None
