"""The stack of both phases: its exact join, and parts that are silently inactive or trained."""

import copy

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer

from lib.training import adapters, stacking
from lib.training.adapters import AdapterError, active
from lib.training.logits import fixed_logits
from lib.training.stacking import PHASE1, PHASE2


@pytest.fixture
def stack(base, phase1_adapter, smoke):
    """Base + frozen Phase 1 + a Phase 2 that does something."""
    model = stacking.attach_stack(base, phase1_adapter, adapters.lora_config(smoke.phase2)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if f"lora_B.{PHASE2}" in name:
                weight.normal_(std=0.05, generator=generator)
    yield model
    model.unload()


def test_the_join_equals_the_stack_and_the_merged_weights(base, stack):
    """Third opinion beside stack and join: base weights plus each part's own scaling times B·A."""
    merged = copy.deepcopy(stack.base_model.model)
    layers = {n: m for n, m in merged.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        part = {a: layer.lora_B[a].weight @ layer.lora_A[a].weight for a in (PHASE1, PHASE2)}
        plain = layer.get_base_layer()
        with torch.no_grad():
            # smoke's α/r and α/√r.
            plain.weight += (8 / 4) * part[PHASE1] + (16 / 8**0.5) * part[PHASE2]
        merged.set_submodule(name, plain)
    stacked = fixed_logits(stack)
    assert np.abs(stacked - fixed_logits(merged)).max() < 1e-3
    difference, bound, weights = stacking.join(stack)
    assert bound == stacking.JOIN_TOLERANCE and weights < stacking.JOIN_WEIGHT_TOLERANCE
    assert list(stack.base_model.active_adapters) == [stacking.JOINED] and difference < 1e-3
    assert np.abs(fixed_logits(stack) - stacked).max() == difference
    with active(stack, None):
        assert np.abs(fixed_logits(stack) - stacked).max() > 0.1


def test_a_join_in_the_wrong_order_is_refused(stack, monkeypatch):
    real = stack.base_model.add_weighted_adapter
    monkeypatch.setattr(
        stack.base_model,
        "add_weighted_adapter",
        lambda names, *args, **kwargs: real(names[::-1], *args, **kwargs),
    )
    with pytest.raises(
        AdapterError, match=r"scales its sum by .*, not by 1; join in the order Phase 1, Phase 2"
    ):
        stacking.join(stack)


@pytest.mark.parametrize("factor", [0.0, 1.01, float("nan")])
def test_a_join_that_loses_a_part_or_its_scaling_is_refused(stack, monkeypatch, factor):
    real = stacking.concatenated

    def planted(layer):
        a, b = real(layer)
        a[layer.r[PHASE1] :] *= factor
        return a, b

    monkeypatch.setattr(stacking, "concatenated", planted)
    with pytest.raises(AdapterError, match="joined adapter and stack differ by"):
        stacking.join(stack)


def test_a_join_below_a_bf16_base_keeps_fp32_and_is_compared_in_weights(
    base, phase1_adapter, smoke, monkeypatch
):
    model = stacking.attach_stack(
        copy.deepcopy(base).to(torch.bfloat16), phase1_adapter, adapters.lora_config(smoke.phase2)
    )
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            # Far below what bf16 logits can show.
            torch.nn.init.normal_(layer.lora_B[PHASE2].weight, std=1e-4)
    real = stacking.concatenated
    monkeypatch.setattr(
        stacking, "concatenated", lambda layer: tuple(w.bfloat16() for w in real(layer))
    )
    with pytest.raises(AdapterError, match="differs from the sum of its parts"):
        stacking.join(copy.deepcopy(model))
    monkeypatch.setattr(stacking, "concatenated", real)
    stacking.join(model)
    kinds = {
        layer.lora_A[stacking.JOINED].weight.dtype
        for layer in model.modules()
        if isinstance(layer, LoraLayer)
    }
    assert kinds == {torch.float32}


def test_a_silently_inactive_phase_1_is_refused(stack):
    stacking.check_stack(stack)
    stack.set_adapter(PHASE2)  # PeftModel's own: activates one adapter and switches the other off
    with pytest.raises(AdapterError, match="without Phase 1"):
        stacking.check_stack(stack)


@pytest.mark.parametrize(
    ("part", "trains", "reason"),
    [(PHASE1, True, r"phase1.* is trainable; in `stack`"), (PHASE2, False, "nothing is trainable")],
)
def test_only_phase_2_may_train(stack, part, trains, reason):
    for name, parameter in stack.named_parameters():
        if f".{part}." in name:
            parameter.requires_grad = trains
    with pytest.raises(AdapterError, match=reason):
        stacking.check_stack(stack)
