"""LoRA adapters: Phase 2 stacked on a frozen, active Phase 1; the exact join for serving; integrity checks.

docs/protocol.md section 4 (stack and join) and section 8 (adapter checks).
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from lib.run.runs import read_json

TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PHASE1, PHASE2, JOINED = "phase1", "phase2", "joined"
JOIN_TOLERANCE = 1e-3  # largest logit difference between stack and joined adapter, fp32
JOIN_WEIGHT_TOLERANCE = 1e-5  # relative, of a layer's joined update
BF16_SHARE = 0.25  # of the largest logit: bf16 keeps 8 bits, and two orders of the same sums drift apart layer by layer
BASE_FILE = "base.json"  # beside the adapter: the digest of the base it was trained on

FIXED_TEXTS = (
    "The kettle clicked off and nobody in the kitchen moved.",
    "A list of things worth doing before the first frost:",
    "def area(width, height):\n    return width * height",
    "She asked what honesty costs, and he took a while to answer.",
)


class AdapterError(ValueError):
    """An adapter that is not what it should be; stops the run and names the remedy."""


@contextmanager
def active(model, adapter: str | None):
    """Within the block the named adapter is the active one; None = the bare base model."""
    if not hasattr(model, "peft_config"):
        if adapter is not None:
            raise AdapterError(f"adapter {adapter!r} is not loaded; load it before sampling")
        yield model
        return
    if adapter is not None:
        if adapter not in model.peft_config:
            raise AdapterError(
                f"adapter {adapter!r} is not loaded; loaded are {', '.join(model.peft_config)}"
            )
        model.set_adapter(adapter)
    with nullcontext() if adapter is not None else model.disable_adapter():
        yield model


def lora_config(phase):
    """PEFT's configuration of a phase's recipe (params.PhaseParams)."""
    from peft import LoraConfig

    return LoraConfig(
        r=phase.rank,
        lora_alpha=phase.alpha,
        use_rslora=phase.rslora,
        target_modules=TARGET_MODULES,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )


def check_base(adapter: Path, base_digest: str) -> None:
    """Raises AdapterError when the adapter was trained on another base model."""
    recorded = read_json(adapter / BASE_FILE)["base"] if (adapter / BASE_FILE).exists() else None
    if recorded != base_digest:
        raise AdapterError(
            f"adapter {adapter.name} was trained on base {str(recorded)[:12]}, the profile's base is {base_digest[:12]}; "
            "train it again on this base"
        )


def check_shape(adapter: Path, recipe) -> None:
    """Raises AdapterError when a saved adapter has another rank, alpha or scaling than the recipe (`continue`)."""
    config = read_json(adapter / "adapter_config.json")
    found = (config["r"], config["lora_alpha"], config["use_rslora"])
    if found != (recipe.rank, recipe.alpha, recipe.rslora):
        raise AdapterError(
            f"adapter {adapter.name} has rank, alpha, rsLoRA {found}, the recipe {(recipe.rank, recipe.alpha, recipe.rslora)}; "
            "in `continue` every arm trains one shape, train Phase 1 again with this recipe"
        )


def attach_all(base, adapters: dict[str, Path], base_digest: str):
    """The base with every named adapter loaded and none merged; the base itself when there is none."""
    from peft import PeftModel

    model = base
    for name, path in adapters.items():
        check_base(path, base_digest)
        if model is base:
            model = PeftModel.from_pretrained(base, path, adapter_name=name)
        else:
            model.load_adapter(path, adapter_name=name)
    return model.eval()


def attach_stack(base, phase1: Path, phase2_config):
    """Base + frozen, active Phase-1 adapter + a new trainable Phase-2 adapter on top (both in the forward)."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(base, phase1, adapter_name=PHASE1)
    model.add_adapter(PHASE2, phase2_config)
    # set_adapter of the tuner, not of PeftModel: the latter activates one adapter and silently switches the other off.
    model.base_model.set_adapter([PHASE1, PHASE2])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = f".{PHASE2}." in name
    check_stack(model)
    return model


def check_stack(model) -> None:
    """Raises AdapterError unless both adapters are active and exactly Phase 2 trains."""
    if list(model.base_model.active_adapters) != [PHASE1, PHASE2]:
        raise AdapterError(
            f"active adapters are {model.base_model.active_adapters}, not {[PHASE1, PHASE2]}: Phase 2 would train without "
            "Phase 1; activate both with base_model.set_adapter"
        )
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    if not trainable or any(f".{PHASE2}." not in name for name in trainable):
        wrong = next((n for n in trainable if f".{PHASE2}." not in n), "nothing")
        raise AdapterError(
            f"{wrong} is trainable; in `stack` only the Phase-2 adapter may train, freeze the rest"
        )


def join(model) -> tuple[float, float, float]:
    """Joins the stack into the adapter `joined` by rank concatenation.

    Returns the largest logit difference, its bound, and the largest relative difference of a layer's update.

    PEFT's `cat` scales each part by its own factor but inherits the first adapter's configuration, so the order must be
    Phase 1, Phase 2: with α = r and no rsLoRA the joined scaling is 1. Raises AdapterError beyond JOIN_TOLERANCE.
    """
    from peft.tuners.lora import LoraLayer

    stacked = fixed_logits(model)
    model.base_model.add_weighted_adapter(
        [PHASE1, PHASE2], [1.0, 1.0], JOINED, combination_type="cat"
    )
    scaling = {layer.scaling[JOINED] for layer in model.modules() if isinstance(layer, LoraLayer)}
    if any(abs(value - 1) > 1e-9 for value in scaling):
        raise AdapterError(
            f"the joined adapter scales its sum by {sorted(scaling)}, not by 1; join in the order Phase 1, Phase 2 with a "
            "Phase-1 recipe without rsLoRA"
        )
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            # PEFT keeps a joined adapter in the base's type; in bf16 that would round away what fp32 training added.
            layer.lora_A[JOINED].weight.data, layer.lora_B[JOINED].weight.data = concatenated(layer)
    model.set_adapter(JOINED)
    difference = float(np.abs(stacked - fixed_logits(model)).max())
    bound = (
        JOIN_TOLERANCE
        if str(model.dtype) == "torch.float32"
        else BF16_SHARE * float(np.abs(stacked).max())
    )
    if not difference <= bound:
        raise AdapterError(
            f"joined adapter and stack differ by {difference:.2e} in logits, bound {bound:.0e}; the join lost a part or its "
            "scaling"
        )
    return difference, bound, check_join_weights(model)


def concatenated(layer, names=(PHASE1, PHASE2)):
    """A (r1 + r2 + …, in) and B (out, r1 + r2 + …) of a layer's adapters as one, in fp32, each with its own scaling in A."""
    import torch

    scaled = [layer.lora_A[name].weight.data.float() * layer.scaling[name] for name in names]
    return torch.cat(scaled), torch.cat(
        [layer.lora_B[name].weight.data.float() for name in names], dim=1
    )


def check_join_weights(model) -> float:
    """Raises AdapterError unless, layer by layer, the joined update equals the sum of its parts' on random inputs.

    The adapters' weights are fp32 whatever the base's type, so this stays sharp where bf16 logits can only be compared
    coarsely. Returns the largest relative difference.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    @torch.inference_mode()
    def update(layer, name, x):
        # fp64: a GPU may round fp32 products to TF32, which is as coarse as what is looked for
        return (
            layer.lora_B[name].weight.double()
            @ (layer.lora_A[name].weight.double() @ x)
            * layer.scaling[name]
        )

    worst = 0.0
    for path, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            weight = layer.lora_A[JOINED].weight
            x = (
                torch.randn(weight.shape[1], 4, generator=torch.Generator().manual_seed(0))
                .double()
                .to(weight.device)
            )
            parts = update(layer, PHASE1, x) + update(layer, PHASE2, x)
            error = float((update(layer, JOINED, x) - parts).norm() / parts.norm().clamp(min=1e-30))
            if not error <= JOIN_WEIGHT_TOLERANCE:
                raise AdapterError(
                    f"joined adapter: {path} differs from the sum of its parts by {error:.1e} of it; the join "
                    "lost a part or its scaling"
                )
            worst = max(worst, error)
    return worst


def fixed_logits(model) -> np.ndarray:
    """Logits on a few fixed byte sequences that any tokenizer's ids cover: (texts, 8, vocabulary), fp32."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    return last_logits(
        model, [[byte % vocabulary for byte in text.encode()[:40]] for text in FIXED_TEXTS], 8
    )


def last_logits(model, rows, positions: int) -> np.ndarray:
    """Logits at the last positions of each row of token ids: (rows, positions, vocabulary), fp32."""
    import torch

    with torch.inference_mode():
        logits = [
            model(input_ids=torch.tensor([row], device=model.device)).logits[0, -positions:]
            for row in rows
        ]
    return torch.stack(logits).float().cpu().numpy()


def own_logprobs(model, rows, positions: int) -> np.ndarray:
    """Log-probabilities of each row's own last tokens, as the model stands: (rows × positions,), fp64."""
    logits = last_logits(model, [row[:-1] for row in rows], positions).astype(
        np.float64
    )  # (rows, positions, vocabulary)
    told = np.take_along_axis(
        logits, np.array([row[-positions:] for row in rows])[:, :, None], axis=-1
    )[..., 0]
    return (told - np.logaddexp.reduce(logits, axis=-1)).ravel()


def check_distinct(logprobs: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest log-probability difference between each checkpoint and its nearest other one.

    Arms that come out bit-identical mean that an adapter was silently off, or one file was copied. Raises AdapterError
    for a pair without any difference and for a checkpoint with NaN.
    """
    for name, values in logprobs.items():
        if not np.isfinite(values).all():
            raise AdapterError(
                f"checkpoint {name} gives NaN or infinite log-probabilities; train it again, lower the rate"
            )
    nearest = {}
    for name, values in logprobs.items():
        others = {o: float(np.abs(values - v).max()) for o, v in logprobs.items() if o != name}
        if others:
            closest = min(others, key=others.get)
            if others[closest] == 0.0:
                raise AdapterError(
                    f"checkpoints {name} and {closest} are identical on the fixed inputs: an adapter was not active or a "
                    "file was copied; train the arm again"
                )
            nearest[name] = others[closest]
    return nearest


def check_finite(adapter: Path, label: str) -> None:
    """Raises AdapterError, naming `label`, when a weight of a saved adapter is NaN or infinite."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
            if not bool(file.get_tensor(name).isfinite().all()):
                raise AdapterError(
                    f"adapter {label}: {name} holds NaN or infinity; lower the learning rate"
                )
