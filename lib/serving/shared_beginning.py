"""What all prompts of a batch begin with is read once: the chat template's head and a system text.

docs/protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase


def shared_length(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with alike; at least one token of each is left."""
    if len(prompts) == 1:
        return 0
    first, last = min(prompts), max(prompts)
    length = min(len(prompt) for prompt in prompts) - 1
    return next((place for place in range(length) if first[place] != last[place]), length)


def beginning_first(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[int]]
) -> tuple[Tensor, Tensor, int]:
    """A batch as tensors: the shared beginning, then padding, then what is each prompt's own.

    Returns:
        Token ids (B, N), which of them count (B, N), and the length of the beginning.
    """
    import torch

    shared = shared_length(prompts)
    own = [prompt[shared:] for prompt in prompts]
    padded = tokenizer.pad({"input_ids": own}, return_tensors="pt")
    beginning = torch.tensor([prompts[0][:shared]] * len(prompts), dtype=torch.long)
    ids = torch.cat([beginning, padded["input_ids"]], dim=1)
    seen = torch.cat([torch.ones_like(beginning), padded["attention_mask"]], dim=1)
    return ids, seen, shared


def cache_of(model: PreTrainedModel, beginning: Tensor) -> Cache | None:
    """The cache of equal rows (B, shared), read once; None if they are empty."""
    if not beginning.shape[1]:
        return None
    cache = model(input_ids=beginning[:1], use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(len(beginning))
    return cache
