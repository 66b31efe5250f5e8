"""A Claude judge that sends batches, and a probe's tiny model with its reader."""

from __future__ import annotations

import pytest
from tiny_probe import decoder

from lib.judge.probe.features import Reader


@pytest.fixture
def batch_judge(claude):
    return lambda **changes: claude(batch=True, **changes)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A chat model on disk."""
    path = tmp_path_factory.mktemp("models") / "Tiny-Chat"
    decoder("qwen2", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def reader(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return Reader(
        AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    )
