"""The LM head of a training on a CPU: log-probabilities of the trained tokens alone.

On a CPU TRL's own head computes the logits of every token, and again in the backward pass.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lib.training.masking import IGNORED

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def add_cpu_head(base: PreTrainedModel) -> None:
    """Give the base a forward that returns `log_probs`, as TRL's `add_fused_lm_head` does.

    They are (1, N - 1): one for each predicted token of a micro-batch, zero where no loss.
    """
    own = base.forward

    @functools.wraps(type(base).forward)
    def forward(*, labels: Tensor, fused_lm_head: bool = True, **inputs: Any) -> SimpleNamespace:
        targets = labels[:, 1:]
        trained = targets != IGNORED
        places = trained[0].nonzero()[:, 0]
        logits = own(**inputs, use_cache=False, logits_to_keep=places).logits[0].float()
        # Not `log_softmax`, which on a CPU adds up a large vocabulary with an error of 1e-5.
        chosen = logits.gather(1, targets[trained][:, None])[:, 0] - logits.logsumexp(-1)
        return SimpleNamespace(
            log_probs=chosen.new_zeros(trained.shape).masked_scatter(trained, chosen)
        )

    base.forward = forward
