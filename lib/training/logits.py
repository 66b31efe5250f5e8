"""Logits and log-probabilities of a checkpoint on given tokens, and whether checkpoints differ.

docs/protocol.md section 8 (adapter checks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lib.training.adapters import AdapterError, weight_of

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

FIXED_TEXTS = (
    "The kettle clicked off and nobody in the kitchen moved.",
    "A list of things worth doing before the first frost:",
    "def area(width, height):\n    return width * height",
    "She asked what honesty costs, and he took a while to answer.",
)


def fixed_logits(model: PreTrainedModel | PeftModel) -> np.ndarray:
    """Logits at the last 8 positions of a few fixed texts: (texts, 8, vocabulary), fp32.

    The texts' bytes serve as token ids, because every vocabulary has these ids.
    """
    vocabulary = weight_of(model.get_input_embeddings()).shape[0]
    token_rows = [list(text.encode()[:40]) for text in FIXED_TEXTS]
    return last_logits(model, [[byte % vocabulary for byte in row] for row in token_rows], 8)


def last_logits(
    model: PreTrainedModel | PeftModel, token_rows: Sequence[list[int]], positions: int
) -> np.ndarray:
    """Logits at the last positions of each row of ids: (rows, positions, vocabulary), fp32."""
    import torch

    with torch.inference_mode():
        logits = [
            model(
                input_ids=torch.tensor([ids], device=model.device), logits_to_keep=positions
            ).logits[0]
            for ids in token_rows
        ]
    return torch.stack(logits).float().cpu().numpy()


def own_logprobs(
    model: PreTrainedModel | PeftModel, token_rows: Sequence[list[int]], positions: int
) -> np.ndarray:
    """Log-probabilities of each row's own last tokens: (rows × positions,), fp64.

    The model is used as it is, with whatever adapter is active.
    """
    logits = last_logits(model, [ids[:-1] for ids in token_rows], positions)
    logits = logits.astype(np.float64)  # (rows, positions, vocabulary)
    own_tokens = np.array([ids[-positions:] for ids in token_rows])[:, :, None]
    own_logits = np.take_along_axis(logits, own_tokens, axis=-1)[..., 0]
    largest = logits.max(axis=-1, keepdims=True)
    sums = np.exp(logits - largest).sum(axis=-1)  # several times faster than np.logaddexp.reduce
    return (own_logits - np.log(sums) - largest[..., 0]).ravel()


def check_distinct(logprobs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far each checkpoint is from the one nearest to it.

    Two checkpoints with identical values mean that an adapter was silently off or that a file was
    copied.

    Args:
        logprobs: by checkpoint, log-probabilities of the same tokens.

    Returns:
        By checkpoint, the largest difference at any token to the nearest other checkpoint.

    Raises AdapterError for two checkpoints without any difference, and for NaN or infinity.
    """
    for name, values in logprobs.items():
        if not np.isfinite(values).all():
            raise AdapterError(
                f"checkpoint {name} gives NaN or infinite log-probabilities; train it again, "
                "lower the rate"
            )
    nearest = {}
    for name, values in logprobs.items():
        distance = {
            other: float(np.abs(values - theirs).max())
            for other, theirs in logprobs.items()
            if other != name
        }
        if not distance:
            continue
        closest = min(distance, key=distance.__getitem__)
        if distance[closest] == 0.0:
            raise AdapterError(
                f"checkpoints {name} and {closest} are identical on the fixed inputs: an adapter "
                "was not active or a file was copied; train the arm again"
            )
        nearest[name] = distance[closest]
    return nearest
