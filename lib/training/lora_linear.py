"""A LoRA linear layer in few GPU kernels, for training: W x and every active adapter in one sum.

PEFT scales and adds the output of each adapter separately, and each time passes over the widest
activations. Here the ranks of all active adapters are put side by side, as in the joined adapter
(Hu et al. 2022, equation 3, summed over adapters). A stack of two then costs what one adapter
costs. Sums and gradients are the same.
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
    """A layer's active adapters side by side, in the type of the base weight.

    down (R, in) holds every A matrix times its scaling; up (out, R) holds every B matrix. The
    frozen ranks come first and are written once. Those of the trained adapter come last and are
    written again at every forward.
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
        """Copy the trained adapter's weights, which every optimizer step changes."""
        torch.mul(self.a, self.scaling, out=self.down[self.frozen :])
        self.up[:, self.frozen :].copy_(self.b)


class _Linear(torch.autograd.Function):
    """W x + up (down x), with gradients of x and of the trained A and B."""

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
        # Only the optimizer step changes weights, so `ranks` still has those of the forward.
        rows, low = ctx.saved_tensors
        ranks = ctx.ranks
        grad_out = gradient.reshape(-1, gradient.shape[-1]).to(rows.dtype)  # (N, out)
        grad_low = grad_out @ ranks.up  # (N, R)
        grad_a = _product(grad_low[:, ranks.frozen :].t(), rows, ranks.a.dtype).mul_(ranks.scaling)
        grad_b = _product(grad_out.t(), low[:, ranks.frozen :], ranks.b.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_out @ ranks.base.weight).addmm_(grad_low, ranks.down)
            grad_x = grad_x.view(*gradient.shape[:-1], -1).to(ctx.dtype)
        return grad_x, grad_a, grad_b, None


def _product(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """left @ right in type `dtype`. A GPU writes a bf16 product in fp32 without another pass."""
    if left.is_cuda and dtype != left.dtype:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)


def fused_forward(ranks: Ranks, x: torch.Tensor) -> torch.Tensor:
    """A LoRA layer's output for x (..., in), in place of PEFT's forward."""
    return _Linear.apply(x, ranks.a, ranks.b, ranks)


@contextmanager
def few_kernels(model: PeftModel) -> Iterator[None]:
    """Within the block every LoRA layer of the model uses `fused_forward`.

    Nothing changes for fp32 weights on a GPU, where autocast computes in another type than the
    base's.
    """
    from peft.tuners.lora import LoraLayer

    layers = []
    if has_compute_dtype(model):
        layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    try:
        for layer in layers:
            layer.forward = partial(fused_forward, Ranks(layer))
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def has_compute_dtype(model: PeftModel) -> bool:
    """Whether the weights have the type that training computes in: bf16 on a GPU, fp32 on a CPU."""
    return (model.device.type == "cuda") == (model.dtype == torch.bfloat16)
