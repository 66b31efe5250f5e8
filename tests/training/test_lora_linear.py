"""The fused LoRA layer: PEFT's outputs and gradients for one adapter or a stack.

And nothing is left behind.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

from lib.training.adapters import lora_config
from lib.training.logits import fixed_logits
from lib.training.lora_linear import Ranks, few_kernels, fused_forward
from lib.training.stacking import attach_stack


def layer_of(inner, outer, ranks, bias, seed=0):
    """A PEFT layer with one adapter per rank, all active, only the last trained.

    Every second one has rsLoRA.
    """
    torch.manual_seed(seed)
    layer = None
    for number, rank in enumerate(ranks):
        config = LoraConfig(
            r=rank, lora_alpha=2 * rank + 1, use_rslora=bool(number % 2), target_modules=["x"]
        )
        if layer is None:
            linear = nn.Linear(inner, outer, bias=bias)
            layer = Linear(
                linear, adapter_name="0", config=config, r=rank, lora_alpha=config.lora_alpha
            )
        else:
            layer.update_layer(str(number), rank, config.lora_alpha, config=config)
    layer.set_adapter([str(number) for number in range(len(ranks))])
    for name, parameter in layer.named_parameters():
        nn.init.normal_(parameter, std=0.5)
        parameter.requires_grad = f".{len(ranks) - 1}." in name
    return layer


def outputs_and_gradients(forward, layer, x, weigh):
    x = x.clone().requires_grad_()
    out = forward(x)
    (out * weigh).sum().backward()
    gradients = [x.grad, *(p.grad.clone() for p in layer.parameters() if p.requires_grad)]
    layer.zero_grad()
    return [out.detach(), *gradients]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    *[st.integers(1, 9)] * 2,
    st.booleans(),
    st.integers(0, 9),
)
def test_outputs_and_gradients_are_those_of_peft(ranks, inner, outer, bias, seed):
    layer = layer_of(inner, outer, ranks, bias, seed)
    x = torch.randn(2, 3, inner)
    weigh = torch.randn(2, 3, outer)
    theirs = outputs_and_gradients(layer, layer, x, weigh)
    fused = Ranks(layer)
    ours = outputs_and_gradients(lambda x: fused_forward(fused, x), layer, x, weigh)
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_weight_that_changed_is_seen_at_the_next_forward():
    layer = layer_of(4, 5, [2, 3], False)
    fused = Ranks(layer)
    x = torch.randn(1, 2, 4)
    before = fused_forward(fused, x)
    with torch.no_grad():
        layer.lora_B["1"].weight.mul_(2)
    assert not torch.allclose(fused_forward(fused, x), before)
    assert torch.allclose(fused_forward(fused, x), layer(x), atol=1e-5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda layer: layer.set_adapter(["1", "0"]),
        lambda layer: layer.lora_A["0"].weight.requires_grad_(True),
        lambda layer: layer.lora_A["1"].weight.requires_grad_(False),
        lambda layer: layer.lora_dropout.update({"1": nn.Dropout(0.1)}),
    ],
    ids=["trained adapter first", "two train", "none trains", "dropout"],
)
def test_a_layer_that_it_cannot_carry_out_is_refused(spoil):
    layer = layer_of(4, 5, [2, 3], False)
    spoil(layer)
    if layer.active_adapters == ["1", "0"]:
        layer.lora_A["0"].weight.requires_grad_(False)
    with pytest.raises(AssertionError):
        Ranks(layer)


def test_peft_has_its_forward_back_after_the_block(base, phase1_adapter, smoke):
    model = attach_stack(base, phase1_adapter, lora_config(smoke.phase2))
    try:
        logits = fixed_logits(model)
        with few_kernels(model):
            assert abs(fixed_logits(model) - logits).max() < 1e-4
            assert all(
                "forward" in vars(module)
                for module in model.modules()
                if isinstance(module, Linear)
            )
        assert not any(
            "forward" in vars(module) for module in model.modules() if isinstance(module, Linear)
        )
        assert (fixed_logits(model) == logits).all()
    finally:
        model.unload()
