"""ChatML's special tokens, and the error for a model that the project cannot use."""

from __future__ import annotations

START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
PAD = "<|endoftext|>"


class ModelError(ValueError):
    """A base model or tokenizer that the project cannot use. One line with the remedy."""
