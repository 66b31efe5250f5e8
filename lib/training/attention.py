"""Causal attention within each row of an unpadded micro-batch, by flash kernels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lib.training.lora_linear import has_compute_dtype

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel


def by_rows(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    row_ends: Tensor | None = None,
    longest: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row: on a GPU by PyTorch's variable-length flash kernel.

    It is registered with transformers as the attention function `by_rows`. The usual one needs a
    mask over the whole micro-batch, which costs a third of a step's GPU time at 4,500 tokens, and
    on a CPU it also computes the scores between rows that the mask then hides.
    Eight parameters: transformers calls an attention function with these.

    Args:
        module: the attention layer (not used).
        query: (1, heads, N, D), N tokens of all rows end to end.
        key: (1, groups, N, D), groups of heads that share keys and values.
        value: as key.
        attention_mask: not used; `row_ends` says where rows end.
        scaling: factor of the scores. None: 1 / √D.
        row_ends: (rows + 1,) int32, 0 and where each row ends.
        longest: tokens of the longest row.

    Returns:
        The output, (1, N, heads, D), and no attention weights.
    """
    import torch
    from torch.nn.attention.varlen import varlen_attn

    assert row_ends is not None and longest is not None, "a piece has no bounds of its rows"
    if query.device.type == "cpu":
        return _row_after_row(query, key, value, scaling, row_ends), None
    repeat = query.shape[1] // key.shape[1]
    q = query[0].transpose(0, 1)  # (N, heads, D)
    k = key.repeat_interleave(repeat, 1)[0].transpose(0, 1)
    v = value.repeat_interleave(repeat, 1)[0].transpose(0, 1)
    causal = (-1, 0)
    out = varlen_attn(
        q, k, v, row_ends, row_ends, longest, longest, scale=scaling, window_size=causal
    )
    assert isinstance(out, torch.Tensor), "the kernel also gave sums, which nobody asked for"
    return out[None], None


def _row_after_row(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, row_ends: Tensor
) -> Tensor:
    """`by_rows` on a CPU, which has no kernel for rows end to end: one call per row."""
    import torch

    repeat = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(repeat, 1)
    value = value.repeat_interleave(repeat, 1)
    outputs = []
    for start, end in itertools.pairwise(row_ends.tolist()):
        q, k, v = (tensor[:, :, start:end] for tensor in (query, key, value))
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()  # (1, N, heads, D)


@contextmanager
def attention_by_rows(model: PeftModel) -> Iterator[None]:
    """Within the block a bf16 model on a GPU, or an fp32 model on a CPU, uses `by_rows`.

    With another type, on another device, or with a sliding window nothing changes. Transformers
    then derives a mask from the positions, which start anew with each row.
    """
    sliding = getattr(model.config, "sliding_window", None)
    known = model.device.type in ("cuda", "cpu")
    if not known or not has_compute_dtype(model) or sliding:
        yield
        return
    from transformers import AttentionInterface

    AttentionInterface.register("by_rows", by_rows)
    with attention_named(model, "by_rows"):
        yield


@contextmanager
def attention_named(model: PreTrainedModel | PeftModel, name: str) -> Iterator[None]:
    """Within the block the model uses the attention function that is registered by this name."""
    own = model.config._attn_implementation
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = own
