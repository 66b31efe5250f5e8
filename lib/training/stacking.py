"""Phase 2 stacked on a frozen, active Phase 1, and the exact join of both into one adapter.

docs/protocol.md section 4 (stack and join) and section 8 (adapter checks).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.training.adapters import AdapterError, check_weights, tuner_of, weight_of
from lib.training.logits import fixed_logits

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from peft.tuners.lora import LoraLayer
    from torch import Tensor
    from transformers import PreTrainedModel

PHASE1 = "phase1"
PHASE2 = "phase2"
JOINED = "joined"
JOIN_TOLERANCE = 1e-3  # largest logit difference between stack and joined adapter, fp32
JOIN_WEIGHT_TOLERANCE = 1e-5  # relative, of a layer's joined update
# The tolerance in bf16, as a share of the largest logit: bf16 keeps 8 bits, and the same sums in
# another order drift apart from layer to layer.
BF16_SHARE = 0.25


def attach_stack(base: PreTrainedModel, phase1: Path, phase2_config: LoraConfig) -> PeftModel:
    """The base with a frozen Phase-1 adapter and a new trainable Phase-2 adapter, both active."""
    from peft import PeftModel

    check_weights(phase1)
    model = PeftModel.from_pretrained(base, phase1, adapter_name=PHASE1)
    model.add_adapter(PHASE2, phase2_config)
    # The tuner's set_adapter: PeftModel's activates one adapter and silently turns the other off.
    tuner_of(model).set_adapter([PHASE1, PHASE2])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = f".{PHASE2}." in name
    check_stack(model)
    return model


def check_stack(model: PeftModel) -> None:
    """Raises AdapterError unless both adapters are active and exactly Phase 2 trains."""
    active = tuner_of(model).active_adapters
    if list(active) != [PHASE1, PHASE2]:
        raise AdapterError(
            f"active adapters are {active}, not {[PHASE1, PHASE2]}: "
            "Phase 2 would train without Phase 1; activate both with base_model.set_adapter"
        )
    trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
    others = [name for name in trainable if f".{PHASE2}." not in name]
    if others or not trainable:
        wrong = others[0] if others else "nothing"
        raise AdapterError(
            f"{wrong} is trainable; in `stack` only the Phase-2 adapter may train, freeze the rest"
        )


def join(model: PeftModel) -> tuple[float, float, float]:
    """Join the stack into the adapter `joined` by rank concatenation, and check it.

    PEFT's `cat` scales each part by its own factor, but copies the configuration of the adapter
    that is named first. So Phase 1 has to be first: it has no rsLoRA, and the joined α equals the
    joined rank, so the scaling of the sum is 1.

    Returns:
        The largest logit difference between stack and joined adapter, its bound, and the largest
        relative difference of a layer's update.

    Raises:
        AdapterError: a difference is beyond its bound.
    """
    stacked_logits = fixed_logits(model)
    tuner_of(model).add_weighted_adapter(
        [PHASE1, PHASE2], [1.0, 1.0], JOINED, combination_type="cat"
    )
    layers = _lora_layers(model)
    scaling = {layer.scaling[JOINED] for layer in layers.values()}
    if any(abs(value - 1) > 1e-9 for value in scaling):
        raise AdapterError(
            f"the joined adapter scales its sum by {sorted(scaling)}, not by 1; join in the order "
            "Phase 1, Phase 2 with a Phase-1 recipe without rsLoRA"
        )
    for layer in layers.values():
        # PEFT keeps a joined adapter in the base's type. In bf16 this would round away small
        # changes that were trained in fp32.
        down, up = concatenated(layer)
        layer.lora_A[JOINED].weight.data = down
        layer.lora_B[JOINED].weight.data = up
    model.set_adapter(JOINED)
    difference = float(np.abs(stacked_logits - fixed_logits(model)).max())
    bound = JOIN_TOLERANCE
    if str(model.dtype) != "torch.float32":
        bound = BF16_SHARE * float(np.abs(stacked_logits).max())
    if not difference <= bound:
        raise AdapterError(
            f"joined adapter and stack differ by {difference:.2e} in logits, bound {bound:.0e}; "
            "the join lost a part or its scaling"
        )
    return difference, bound, check_join_weights(model)


def concatenated(
    layer: LoraLayer, names: Sequence[str] = (PHASE1, PHASE2)
) -> tuple[Tensor, Tensor]:
    """A layer's adapters as one, in fp32: A (r1 + r2 + …, in) and B (out, r1 + r2 + …).

    Each part of A is multiplied by its own scaling.
    """
    import torch

    down = [weight_of(layer.lora_A[name]).data.float() * layer.scaling[name] for name in names]
    up = [weight_of(layer.lora_B[name]).data.float() for name in names]
    return torch.cat(down), torch.cat(up, dim=1)


def check_join_weights(model: PeftModel) -> float:
    """Largest relative difference of a layer's joined update to the sum of its parts'.

    Both are applied to random inputs, layer by layer. The adapters' weights are fp32 whatever the
    base's type, so this comparison stays exact where bf16 logits can only be compared coarsely.
    Raises AdapterError beyond JOIN_WEIGHT_TOLERANCE.
    """
    import torch

    worst = 0.0
    for path, layer in _lora_layers(model).items():
        weight = weight_of(layer.lora_A[JOINED])
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(weight.shape[1], 4, generator=generator).double().to(weight.device)
        parts = _update(layer, PHASE1, inputs) + _update(layer, PHASE2, inputs)
        joined = _update(layer, JOINED, inputs)
        error = float((joined - parts).norm() / parts.norm().clamp(min=1e-30))
        if not error <= JOIN_WEIGHT_TOLERANCE:
            raise AdapterError(
                f"joined adapter: {path} differs from the sum of its parts by {error:.1e} of it; "
                "the join lost a part or its scaling"
            )
        worst = max(worst, error)
    return worst


def _update(layer: LoraLayer, name: str, inputs: Tensor) -> Tensor:
    """What one adapter of a layer adds to its output for `inputs` (in, N)."""
    import torch

    # fp64: a GPU may round fp32 products to TF32, which is as coarse as the error looked for.
    with torch.inference_mode():
        low = weight_of(layer.lora_A[name]).double() @ inputs
        return weight_of(layer.lora_B[name]).double() @ low * layer.scaling[name]


def _lora_layers(model: PeftModel) -> dict[str, LoraLayer]:
    """The model's LoRA layers by their path."""
    from peft.tuners.lora import LoraLayer

    return {path: layer for path, layer in model.named_modules() if isinstance(layer, LoraLayer)}
