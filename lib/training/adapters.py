"""LoRA adapters beside a base: their recipe, loading, which one is active, and integrity checks.

Nothing is ever merged into the base. The checks are those of docs/protocol.md section 8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.config.recipes import PhaseParams
from lib.run.files import read_json

if TYPE_CHECKING:
    from peft import LoraConfig, LoraModel, PeftModel
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE_FILE = "base.json"  # beside the adapter: the digest of the base it was trained on


class AdapterError(ValueError):
    """An adapter is not what it should be. One line with the remedy."""


@contextmanager
def active(model: PreTrainedModel | PeftModel, adapter: str | None) -> Iterator[Any]:
    """Within the block the named adapter is active. None: the bare base model.

    Raises AdapterError if the adapter is not loaded.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        if adapter is not None:
            raise AdapterError(f"adapter {adapter!r} is not loaded; load it before sampling")
        yield model
        return
    if adapter is not None:
        if adapter not in model.peft_config:
            loaded = ", ".join(model.peft_config)
            raise AdapterError(f"adapter {adapter!r} is not loaded; loaded are {loaded}")
        model.set_adapter(adapter)
    with nullcontext() if adapter is not None else model.disable_adapter():
        yield model


def base_of(model: PeftModel) -> PreTrainedModel:
    """The model below the adapters."""
    from transformers import PreTrainedModel

    base = model.get_base_model()
    assert isinstance(base, PreTrainedModel), f"{type(base).__name__} is no transformers model"
    return base


def tuner_of(model: PeftModel) -> LoraModel:
    """The layer of PEFT that holds all adapters and can have several active at once."""
    from peft import LoraModel

    tuner = model.base_model
    assert isinstance(tuner, LoraModel), f"{type(tuner).__name__} is no LoRA model"
    return tuner


def weight_of(layer: Module) -> Tensor:
    """The weight of a linear or embedding layer; torch types it as a module or a tensor."""
    from torch import Tensor

    weight = layer.weight
    assert isinstance(weight, Tensor), f"{type(layer).__name__} has no weight"
    return weight


def lora_config(phase: PhaseParams) -> LoraConfig:
    """A phase's recipe as PEFT's configuration."""
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


def attach_all(
    base: PreTrainedModel, adapters: Mapping[str, Path], base_digest: str
) -> PreTrainedModel | PeftModel:
    """The base with every named adapter loaded beside it. Without adapters it is the base itself.

    Raises AdapterError if an adapter was trained on another base.
    """
    from peft import PeftModel

    model = base
    for name, path in adapters.items():
        check_weights(path)
        check_base(path, base_digest)
        if model is base:
            model = PeftModel.from_pretrained(base, path, adapter_name=name)
        else:
            model.load_adapter(str(path), adapter_name=name)
    return model.eval()


def check_weights(adapter: Path) -> None:
    """Raise AdapterError unless the weights are safetensors.

    PEFT would otherwise read a pickle that lies there, or ask the hub for a model of this name.
    """
    if not (adapter / "adapter_model.safetensors").is_file():
        raise AdapterError(
            f"adapter {adapter.name} has no adapter_model.safetensors, the only weights that are "
            "read; train it again"
        )


def check_base(adapter: Path, base_digest: str) -> None:
    """Raises AdapterError if the adapter was trained on another base model."""
    recorded = read_json(adapter / BASE_FILE)["base"] if (adapter / BASE_FILE).exists() else None
    if recorded != base_digest:
        raise AdapterError(
            f"adapter {adapter.name} was trained on base {str(recorded)[:12]}, the profile's base "
            f"is {base_digest[:12]}; train it again on this base"
        )


def check_shape(adapter: Path, recipe: PhaseParams) -> None:
    """Raises AdapterError if a saved adapter has another rank, alpha or scaling than the recipe.

    Only `phase2.mode: continue` needs this, because it trains the Phase-1 adapter itself further.
    """
    config = read_json(adapter / "adapter_config.json")
    saved = (config["r"], config["lora_alpha"], config["use_rslora"])
    wanted = (recipe.rank, recipe.alpha, recipe.rslora)
    if saved != wanted:
        raise AdapterError(
            f"adapter {adapter.name} has rank, alpha, rsLoRA {saved}, the recipe {wanted}; in "
            "`continue` every arm trains one shape, train Phase 1 again with this recipe"
        )


def sort_targets(adapter: Path) -> None:
    """Sort `target_modules` in a saved adapter's configuration, in PEFT's own layout.

    PEFT writes it as a set, in an order that differs between processes. Stages record the file's
    sha256, so equal adapters must have equal files.
    """
    path = adapter / "adapter_config.json"
    config = read_json(path)
    if isinstance(config["target_modules"], list):  # a string is a pattern, and has one order
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def check_finite(adapter: Path, label: str) -> None:
    """Raises AdapterError, naming `label`, if a weight of a saved adapter is NaN or infinite."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (a safetensors handle is not a mapping)
            if not bool(file.get_tensor(name).isfinite().all()):
                raise AdapterError(
                    f"adapter {label}: {name} holds NaN or infinity; lower the learning rate"
                )
