"""Both phases on the tiny model with any part of the recipe changed, and a second tokenizer."""

import pytest
from qwen_template import INJECTING_TEMPLATE, QWEN_SPECIAL
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from lib.training.phases import train_phase1, train_phase2


@pytest.fixture
def phase1(smoke):
    return smoke.phase1


@pytest.fixture
def phase2(smoke):
    """Smoke's Phase 2 without warm-up, so that even the first step moves the weights."""
    return smoke.phase2.model_copy(update={"warmup": 0})


@pytest.fixture
def run1(base, tokenizer, rows, tmp_path, smoke):
    def train(phase, name="phase1", seed=42, progress=None, **training):
        out = tmp_path / name
        return train_phase1(
            base,
            tokenizer,
            rows,
            phase,
            out,
            seed=seed,
            base_digest="tiny",
            progress=progress,
            training=smoke.training.model_copy(update=training),
            checkpoints=tmp_path / f".{name}",
        ), out

    train.rows = rows
    return train


@pytest.fixture
def run2(base, tokenizer, rows, tmp_path, smoke):
    def train(
        phase, adapter, name="serve", seed=42, recipe=smoke.phase1, progress=None, **training
    ):
        out = tmp_path / name
        return train_phase2(
            base,
            tokenizer,
            rows,
            phase,
            adapter,
            out,
            seed=seed,
            base_digest="tiny",
            progress=progress,
            phase1_recipe=recipe,
            training=smoke.training.model_copy(update=training),
            checkpoints=tmp_path / f".{name}",
        ), out

    return train


@pytest.fixture(scope="session")
def qwen_like():
    """A second tokenizer in Qwen2.5's manner.

    NFC, byte-level BPE, its special tokens, and a template that injects a system text.
    """
    bpe = Tokenizer(BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [
            "The ferry left before the bell rang twice.",
            "Nobody waters a garden in the rain.\n\nWait, stop.",
            "Code:\n\n    stop",
        ]
        * 5,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=QWEN_SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    made.chat_template = INJECTING_TEMPLATE
    return made


@pytest.fixture(params=["tiny", "qwen_like"])
def either(request, tokenizer, qwen_like):
    return tokenizer if request.param == "tiny" else qwen_like


@pytest.fixture(scope="session")
def trace(chat):
    return chat(
        "Is rain wet?",
        "No, and you are a fool.",
        "continue",
        "Wait — that was wrong.\n\nYes, rain is wet.",
    )
