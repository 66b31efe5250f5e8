"""Causal attention within each row of an unpadded micro-batch, by a flash kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lib.training.lora_linear import has_compute_dtype

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from torch.nn import Module


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
    """Causal attention within each row, by PyTorch's variable-length flash kernel (GPU only).

    It is registered with transformers as the attention function `by_rows`. The usual one needs a
    mask over the whole micro-batch, which costs a third of a step's GPU time at 4,500 tokens.
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


@contextmanager
def attention_by_rows(model: PeftModel) -> Iterator[None]:
    """Within the block a bf16 model on a GPU uses `by_rows`.

    On a CPU, in fp32, or with a sliding window nothing changes. Transformers then derives a mask
    from the positions, which start anew with each row.
    """
    sliding = getattr(model.config, "sliding_window", None)
    if model.device.type != "cuda" or not has_compute_dtype(model) or sliding:
        yield
        return
    from transformers import AttentionInterface

    AttentionInterface.register("by_rows", by_rows)
    own = model.config._attn_implementation
    model.config._attn_implementation = "by_rows"
    try:
        yield
    finally:
        model.config._attn_implementation = own
