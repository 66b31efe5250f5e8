"""Attention on a CPU in which heads that share keys and values do not get a copy of them each.

With a padded batch transformers copies the whole cache for every head at every token, since a GPU
needs it so. A CPU's kernel does not, and gives the same numbers to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lib.training.attention import attention_named

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

NAME = "unrepeated_heads"


def attend(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention under a mask, as transformers' `sdpa` gives it.

    Without a mask, `sdpa` itself is called: it copies nothing then.

    Args:
        module: the attention layer.
        query: (B, heads, N, D).
        key: (B, groups, S, D), groups of heads that share keys and values.
        value: as key.
        attention_mask: (B, 1, N, S), True where a token may look.
        scaling: factor of the scores. None: 1 / √D.
        options: the others that transformers gives.

    Returns:
        The output, (B, N, heads, D), and no attention weights.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is None or options.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None


@contextmanager
def unrepeated_heads(model: PreTrainedModel) -> Iterator[None]:
    """Within the block a model on a CPU uses `attend` if its attention is `sdpa`."""
    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        yield
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    with attention_named(model, NAME):
        yield
