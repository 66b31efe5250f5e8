"""ChatML's special tokens, and the error of a model that cannot serve."""

from __future__ import annotations

START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
PAD = "<|endoftext|>"


class ModelError(ValueError):
    """A base model or tokenizer cannot serve. One line with the remedy."""
