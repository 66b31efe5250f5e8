"""A LoRA linear layer in few kernels, for training: W x and every active adapter in one accumulation.

PEFT scales and adds each adapter's output in passes of their own over the widest activations, and once more for the frozen
adapter of a stack. Here the ranks of all active adapters stand side by side, as in the joined adapter (Hu et al. 2022,
equation 3, summed over adapters), so that a stack costs what one adapter costs. Same sums, same gradients.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from lib.training.adapters import concatenated


class _Ranks:
    """A layer's active adapters side by side in the base weight's type: down (R, in), scaled; up (out, R).

    Frozen ranks are written once, the trained adapter's, which come last, at every forward.
    """

    def __init__(self, layer):
        names = [name for name in layer.active_adapters if name in layer.lora_A]
        trained = [name for name in names if layer.lora_A[name].weight.requires_grad]
        assert len(trained) == 1 and names[-1] == trained[0], (
            f"active {names}, of which {trained} train"
        )
        assert isinstance(layer.get_base_layer(), nn.Linear), (
            f"{type(layer.get_base_layer()).__name__} is no linear layer"
        )
        assert isinstance(layer.lora_dropout[trained[0]], nn.Identity) and not layer.lora_variant, (
            "plain LoRA only"
        )
        self.base, self.scaling = layer.get_base_layer(), layer.scaling[trained[0]]
        self.a, self.b = layer.lora_A[trained[0]].weight, layer.lora_B[trained[0]].weight
        self.frozen = sum(layer.r[name] for name in names[:-1])
        weight, ranks = self.base.weight, self.frozen + self.a.shape[0]
        self.down, self.up = (
            weight.new_empty(ranks, weight.shape[1]),
            weight.new_empty(weight.shape[0], ranks),
        )
        if self.frozen:
            self.down[: self.frozen], self.up[:, : self.frozen] = concatenated(layer, names[:-1])

    @torch.no_grad()
    def refresh(self) -> None:
        torch.mul(self.a, self.scaling, out=self.down[self.frozen :])
        self.up[:, self.frozen :].copy_(self.b)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a, b, ranks: _Ranks):
        """x (..., in) to (..., out). a and b, the trained adapter's weights, are there for their gradients."""
        weight = ranks.base.weight
        ranks.refresh()
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)  # (N, in)
        low = rows @ ranks.down.t()  # (N, R)
        out = nn.functional.linear(rows, weight, ranks.base.bias).addmm_(
            low, ranks.up.t()
        )  # (N, out)
        ctx.save_for_backward(rows, low)
        ctx.ranks, ctx.kind = ranks, x.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, gradient):
        # Weights change at the optimizer step only, so those of the forward are still in `ranks`.
        (rows, low), ranks = ctx.saved_tensors, ctx.ranks
        out = gradient.reshape(-1, gradient.shape[-1]).to(rows.dtype)  # (N, out)
        back = out @ ranks.up  # (N, R)
        of_a = _sum_in(ranks.a.dtype, back[:, ranks.frozen :].t(), rows).mul_(ranks.scaling)
        of_b = _sum_in(ranks.b.dtype, out.t(), low[:, ranks.frozen :])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (out @ ranks.base.weight).addmm_(back, ranks.down)
            of_x = of_x.view(*gradient.shape[:-1], -1).to(ctx.kind)
        return of_x, of_a, of_b, None


def _sum_in(kind, left, right):
    """left @ right in the type `kind`, which a GPU's product of bf16 can write without a pass of its own."""
    return (
        torch.mm(left, right, out_dtype=kind)
        if left.is_cuda and kind != left.dtype
        else (left @ right).to(kind)
    )


def _forward(ranks: _Ranks, x):
    return _Linear.apply(x, ranks.a, ranks.b, ranks)


@contextmanager
def few_kernels(model):
    """Within the block every LoRA layer of the model trains this way; PEFT's own forward comes back after it.

    Without effect where autocast would choose another type than the base's: fp32 weights on a GPU.
    """
    from peft.tuners.lora import LoraLayer

    layers = [m for m in model.modules() if isinstance(m, LoraLayer)] if lean(model) else []
    try:
        for layer in layers:
            layer.forward = partial(_forward, _Ranks(layer))
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def lean(model) -> bool:
    """Whether weights already have the type that training computes in: bf16 on a GPU, fp32 on a CPU."""
    return (model.device.type == "cuda") == (model.dtype == torch.bfloat16)
