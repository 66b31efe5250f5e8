"""The probe's base model: find its weights and load them."""

from __future__ import annotations

import json
from pathlib import Path

from lib.config.recipes import ModelParams
from lib.judge.probe.features import ProbeError, Reader
from lib.models import chat_models
from lib.models.local_models import MODELS_DIR_VARIABLE, local_folder

DEFAULT = "Qwen/Qwen2.5-Coder-1.5B-Instruct"
REVISIONS = {  # of the hub; the heads of the project were fitted on these weights
    DEFAULT: "2e1fd397ee46e1388853d2af2c993145b0f1098a",
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": "ea3f2471cf1b1f0db85067f1ef93848e38e88c25",
}


def public_name(name: str) -> str:
    """The hub id of a model that the project names, else the last part of a folder or id.

    This is what a card says, so that no folder of one machine enters it.
    """
    last = Path(name).name
    known = {hub_id.rsplit("/", 1)[-1].lower(): hub_id for hub_id in REVISIONS}
    return known.get(last.lower(), last)


def stated_architecture(name: str) -> dict[str, str | int]:
    """A model's architecture by its config.json. Layers and width are 0 if it is not local."""
    folder = local_folder(name)
    if folder is None or not (folder / "config.json").is_file():
        return {"model_type": "not on this machine", "layers": 0, "width": 0}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "model_type": config.get("model_type", "unknown"),
        "layers": config.get("num_hidden_layers", 0),
        "width": config.get("hidden_size", 0),
    }


def model_params(name: str) -> ModelParams:
    """Where to load a model from, as the project's other models are loaded."""
    import torch

    folder = local_folder(name)
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    return ModelParams(
        source="path" if folder else "hub",
        name=str(folder or name),
        revision=None if folder else REVISIONS.get(name),
        system_text="-",
        dtype=dtype,
    )


def load_reader(name: str) -> Reader:
    """A reader with the model that `name` stands for. Raises ProbeError, in one line."""
    from transformers import AutoTokenizer

    try:
        params = model_params(name)
        tokenizer = AutoTokenizer.from_pretrained(
            chat_models.base_dir(params), trust_remote_code=False
        )
        if not tokenizer.chat_template:
            raise ProbeError(
                f"judge.model {name!r} has no chat template; name an instruct model, "
                f"such as {DEFAULT}"
            )
        return Reader(chat_models.load_base(params), tokenizer)
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ProbeError(
            f"judge.model {name!r} cannot be loaded ({reason}); give a folder with "
            f"weights and tokenizer, put one under {MODELS_DIR_VARIABLE}, or name a "
            f"model of the hub such as {DEFAULT}"
        ) from error


def weights_digest(name: str) -> str:
    """sha256 over the model's weight files."""
    return chat_models.base_digest(model_params(name))
