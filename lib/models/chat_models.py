"""Load the base model and its tokenizer, and turn conversations into text and tokens.

A tokenizer keeps its stock chat template. lib/training/masking.py has the one for training.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config.recipes import ModelParams
from lib.models import built, hub, local_models
from lib.models.chatml import END_OF_TURN, START_OF_TURN, ModelError
from lib.models.rendering import bare_text
from lib.models.typed_tokens import guarded, ids_of


def base_dir(model: ModelParams) -> Path:
    """The folder of a model's safetensors weights and tokenizer; made or fetched if missing.

    Raises ModelError.
    """
    # If it is not set, every forked worker prints a warning.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if model.source == "embedded":
        return built.converted()
    if model.source == "tiny":
        return built.tiny(model)
    path = local_models.own_folder(model)
    if path is None:
        return hub.snapshot(model)
    if not list(path.glob("*.safetensors")):
        raise ModelError(
            f"base model {model.name!r}: no *.safetensors there; "
            "give a folder with weights and tokenizer"
        )
    return path


def load_tokenizer(model: ModelParams) -> Any:
    """The model's tokenizer, which pads on the left.

    Raises ModelError if it has no chat template, or if the template's own default system text is
    not `model.system_text`.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_dir(model), trust_remote_code=False)
    if tokenizer.chat_template is None:
        raise ModelError(f"base model {model.name!r} has no chat template; use an instruct model")
    tokenizer.padding_side = "left"
    tokenizer.clean_up_tokenization_spaces = False
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    injected = stock_system_text(tokenizer)
    if injected is not None and injected != model.system_text:
        raise ModelError(
            f"model.system_text is {model.system_text!r}, but the chat template's own default is "
            f"{injected!r}; set model.system_text to it, so that explicit and stock prompts agree"
        )
    return tokenizer


def load_base(model: ModelParams) -> Any:
    """The base model in eval mode, on the GPU if there is one. Raises ModelError."""
    # Keeps rows of many lengths from fragmenting the GPU's memory. Torch reads it when it first
    # allocates.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    import torch
    from transformers import AutoModelForCausalLM

    built.without_library_bars()
    check_dtype(model)
    base = AutoModelForCausalLM.from_pretrained(
        base_dir(model),
        dtype=getattr(torch, model.dtype),
        trust_remote_code=False,
        use_safetensors=True,
    )
    # Adapters record this name. A folder of this machine does not belong in an artifact.
    base.name_or_path = model.name
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # transformers wraps `to` in a decorator that hides its `self` from a type checker.
    return base.to(device).eval()  # pyright: ignore[reportArgumentType]


def check_dtype(model: ModelParams) -> None:
    """Raise ModelError if this machine cannot compute in the model's number type."""
    if model.dtype != "bfloat16":
        return
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            "model.dtype is 'bfloat16' but no GPU is there; set model.dtype to 'float32' on a CPU"
        )


def base_digest(model: ModelParams) -> str:
    """sha256 over the base's weight files. An adapter belongs to exactly these weights."""
    folder = base_dir(model)
    recorded = folder / built.DIGEST_FILE
    if recorded.exists():
        return recorded.read_text(encoding="utf-8").strip()
    return built.weights_digest(folder)


def stock_system_text(tokenizer: Any) -> str | None:
    """The system text that the stock template adds to a conversation without one, or None.

    Raises ModelError if the template is not ChatML.
    """
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    head, user_turn, _ = rendered.partition(f"{START_OF_TURN}user\n")
    if not user_turn:
        raise ModelError(
            "the chat template is not ChatML; only ChatML models (Qwen2.5, SmolLM2, …) are "
            "supported"
        )
    if START_OF_TURN not in head:
        return None
    return head.split("system\n", 1)[1].split(END_OF_TURN, 1)[0]


def prompt_text(tokenizer: Any, messages: list[dict]) -> str:
    """The rendered conversation, up to where the assistant's next turn begins.

    Raises ModelError unless the conversation starts with an explicit system text.
    """
    if messages[0]["role"] != "system" or not messages[0]["content"].strip():
        raise ModelError(
            "a request has no system text of its own; the template would inject one silently, "
            "add it"
        )
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def turn_ids(
    tokenizer: Any,
    messages: list[dict],
    text: str,
    *,
    bare: bool = False,
    typed: Mapping[str, str] | None = None,
) -> list[int]:
    """Token ids of a conversation's rendered text, each assistant turn tokenised by itself.

    In one piece, a turn that begins with a line break would share a token with its prompt (in
    Qwen2.5's tokenizer every such turn does), but no prompt ends in that token at generation.

    Args:
        bare: whether the conversation has no system turn.
        typed: the spelled tokens by their signs (`typed_tokens.guarded`).

    Raises ModelError if the template changes what it rendered before.
    """
    pieces = []
    start = 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = messages[:number]
        prompt = (
            bare_text(tokenizer, before, prompt=True) if bare else prompt_text(tokenizer, before)
        )
        if not text.startswith(prompt):
            raise ModelError(
                "the rendered conversation does not begin with the chat template's generation "
                "prompt; this project needs a template that only appends"
            )
        pieces.append(text[start : len(prompt)])
        start = len(prompt)
    pieces.append(text[start:])
    if typed:
        return list(
            itertools.chain.from_iterable(ids_of(tokenizer, piece, typed) for piece in pieces)
        )
    ids_by_piece = tokenizer(pieces, add_special_tokens=False)["input_ids"]
    return list(itertools.chain.from_iterable(ids_by_piece))


def prompt_ids(tokenizer: Any, messages: list[dict], prefill: str = "") -> list[int]:
    """Token ids of `prompt_text`. Earlier assistant turns have the tokens they are trained with.

    A special token that a message spells stays text: it neither ends a turn nor begins another.
    prefill: how the answer begins. It is tokenised by itself, as every assistant turn is.
    Raises ModelError if the template cannot leave the answer open after the prefill.
    """
    messages, typed = guarded(tokenizer, messages)
    ids = turn_ids(tokenizer, messages, prompt_text(tokenizer, messages), typed=typed)
    if not prefill:
        return ids
    check_unfinished(tokenizer, messages, prefill)
    return ids + tokenizer([prefill], add_special_tokens=False)["input_ids"][0]


def check_unfinished(tokenizer: Any, messages: list[dict], prefill: str) -> None:
    """Raise ModelError unless the template can leave an answer open after its beginning.

    It has to render exactly the prompt and then `prefill`, with nothing after it.
    """
    turn = {"role": "assistant", "content": prefill}
    try:
        text = tokenizer.apply_chat_template(
            [*messages, turn], tokenize=False, continue_final_message=True
        )
    except ValueError:  # the template changed the turn's text
        text = ""
    if text != prompt_text(tokenizer, messages) + prefill:
        raise ModelError(
            f"the chat template does not leave a turn open that begins {prefill[:40]!r}; set "
            "traces.elicitation to 'few_shot'"
        )


def spelled_token(tokenizer: Any, text: str) -> str | None:
    """A special token that a text spells out, or None.

    In a rendered conversation it would end a turn or begin another.
    """
    return next((token for token in tokenizer.all_special_tokens if token in text), None)
