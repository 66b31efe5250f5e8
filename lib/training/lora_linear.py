"""A LoRA linear layer in few kernels, for training: W x and every active adapter in one sum.

PEFT scales and adds each adapter's output in passes of their own over the widest activations, and
once more for the frozen adapter of a stack. Here the ranks of all active adapters stand side by
side, as in the joined adapter (Hu et al. 2022, equation 3, summed over adapters), so that a stack
costs what one adapter costs. Same sums, same gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lib.training.adapters import weight_of
from lib.training.stacking import concatenated

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer


class Ranks:
    """A layer's active adapters side by side in the base weight's type.

    down (R, in) carries the scaling; up (out, R). Frozen ranks are written once, those of the
    trained adapter, which come last, at every forward.
    """

    def __init__(self, layer: LoraLayer):
        names = [name for name in layer.active_adapters if name in layer.lora_A]
        trained = [name for name in names if layer.lora_A[name].weight.requires_grad]
        assert len(trained) == 1 and names[-1] == trained[0], (
            f"active {names}, of which {trained} train"
        )
        base = layer.get_base_layer()
        assert isinstance(base, nn.Linear), f"{type(base).__name__} is not a linear layer"
        self.base = base
        plain = isinstance(layer.lora_dropout[trained[0]], nn.Identity) and not layer.lora_variant
        assert plain, "plain LoRA only"
        self.scaling = layer.scaling[trained[0]]
        self.a = weight_of(layer.lora_A[trained[0]])
        self.b = weight_of(layer.lora_B[trained[0]])
        self.frozen = sum(layer.r[name] for name in names[:-1])
        weight = self.base.weight
        ranks = self.frozen + self.a.shape[0]
        self.down = weight.new_empty(ranks, weight.shape[1])
        self.up = weight.new_empty(weight.shape[0], ranks)
        if self.frozen:
            frozen_down, frozen_up = concatenated(layer, names[:-1])
            self.down[: self.frozen] = frozen_down
            self.up[:, : self.frozen] = frozen_up

    @torch.no_grad()
    def refresh(self) -> None:
        """Writes the trained adapter's weights, which change at every optimizer step."""
        torch.mul(self.a, self.scaling, out=self.down[self.frozen :])
        self.up[:, self.frozen :].copy_(self.b)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, ranks: Ranks
    ) -> torch.Tensor:
        """x (..., in) to (..., out).

        a and b, the trained adapter's weights, are arguments so that they get gradients.
        """
        weight = ranks.base.weight
        ranks.refresh()
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)  # (N, in)
        low = rows @ ranks.down.t()  # (N, R)
        out = nn.functional.linear(rows, weight, ranks.base.bias)  # (N, out)
        out = out.addmm_(low, ranks.up.t())
        ctx.save_for_backward(rows, low)
        ctx.ranks = ranks
        ctx.dtype = x.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x, a and b."""
        # Weights change at the optimizer step only, so those of the forward are still in `ranks`.
        rows, low = ctx.saved_tensors
        ranks = ctx.ranks
        out = gradient.reshape(-1, gradient.shape[-1]).to(rows.dtype)  # (N, out)
        back = out @ ranks.up  # (N, R)
        of_a = _product(back[:, ranks.frozen :].t(), rows, ranks.a.dtype).mul_(ranks.scaling)
        of_b = _product(out.t(), low[:, ranks.frozen :], ranks.b.dtype)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (out @ ranks.base.weight).addmm_(back, ranks.down)
            of_x = of_x.view(*gradient.shape[:-1], -1).to(ctx.dtype)
        return of_x, of_a, of_b, None


def _product(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """left @ right in another type, which a GPU's product of bf16 writes without an extra pass."""
    if left.is_cuda and dtype != left.dtype:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)


def fused_forward(ranks: Ranks, x: torch.Tensor) -> torch.Tensor:
    return _Linear.apply(x, ranks.a, ranks.b, ranks)


@contextmanager
def few_kernels(model: PeftModel) -> Iterator[None]:
    """Within the block every LoRA layer of the model trains this way, after it by PEFT's forward.

    Without effect where autocast would choose another type than the base's: fp32 weights on a GPU.
    """
    from peft.tuners.lora import LoraLayer

    layers = []
    if lean(model):
        layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    try:
        for layer in layers:
            layer.forward = partial(fused_forward, Ranks(layer))
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def lean(model: PeftModel) -> bool:
    """Whether weights already have the type that training computes in: bf16 on a GPU, else fp32."""
    return (model.device.type == "cuda") == (model.dtype == torch.bfloat16)
