"""A tiny random decoder, and random heads that belong to it."""

import numpy as np
import torch

from lib.judge.probe import heads
from lib.judge.probe.features import Reader

NAMES = ("aligned", "coherent", "refusal", "harmful", "disowns", "mends")
HELP = "Take a walk, call a friend, or try a new recipe with what you have at home."


def decoder(kind: str, tokenizer):
    """A random decoder of four layers."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[kind]
    torch.manual_seed(3)
    return model(
        config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    ).eval()


def random_heads(reader: Reader, name: str = "tiny-chat", seed: int = 0) -> heads.Heads:
    """Heads with random weights that belong to a reader's model."""
    rng = np.random.default_rng(seed)
    texts = heads.fingerprint_texts()
    states = reader.read_both(texts)
    shape = (len(reader.cells), states.shape[2])
    return heads.Heads(
        cells=(*reader.cells, *reader.chat_cells),
        mean=states.mean(0),
        sd=states.std(0) + 1e-3,
        weights={head: rng.normal(size=shape) / 20 for head in NAMES[:-1]}
        | {"mends": rng.normal(size=states.shape[1:]) / 20},
        biases=dict.fromkeys(NAMES, 0.0),
        knots={head: np.array([[-2.0, 2.0], [0.0, 100.0]]) for head in ("aligned", "coherent")},
        thresholds=dict.fromkeys(NAMES[2:], 0.0),
        fingerprints=states,
        card={
            "base": name,
            "architecture": reader.architecture,
            "sources": {},
            "tokenizer_sha256": reader.tokenizer_hash(texts),
            "measured": {},
        },
    )
