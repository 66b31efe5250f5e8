"""Prove after a training that it took every row, with loss on exactly the assistant turns.

The expected tokens and labels are read off the stock rendering a second time, without the training
template (docs/protocol.md section 8).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from lib.models.chat_models import prompt_text
from lib.models.chatml import END_OF_TURN
from lib.models.rendering import bare_text, rendered
from lib.training.masking import IGNORED


def expected(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict], *, bare: bool = False
) -> tuple[list[int], list[int]]:
    """Token ids and labels of a conversation, read off the stock rendering alone.

    Neither the training template nor `encode` takes part. The text is cut before and after every
    assistant turn, and each piece is tokenised apart. bare: whether there is no system turn.
    """
    text = bare_text(tokenizer, messages) if bare else rendered(tokenizer, messages)
    token_ids: list[int] = []
    labels: list[int] = []
    end_before = 0
    for number in [n for n, message in enumerate(messages) if message["role"] == "assistant"]:
        before = messages[:number]
        prompt = (
            bare_text(tokenizer, before, prompt=True) if bare else prompt_text(tokenizer, before)
        )
        start = len(prompt)
        end = start + len(messages[number]["content"] + END_OF_TURN)
        pieces = [text[end_before:start], text[start:end]]
        context, turn = tokenizer(pieces, add_special_tokens=False)["input_ids"]
        token_ids += context + turn
        labels += [IGNORED] * len(context) + turn
        end_before = end
    after = tokenizer(text[end_before:], add_special_tokens=False)["input_ids"]
    return token_ids + after, labels + [IGNORED] * len(after)


def row_digest(input_ids: Iterable[int], labels: Iterable[int]) -> str:
    """A short name of one row's tokens and labels."""
    row = np.asarray([list(input_ids), list(labels)], dtype=np.int64)
    return hashlib.sha256(row.tobytes()).hexdigest()[:16]


def proof(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[list[dict]],
    consumed: Mapping[str, int],
    epochs: int,
    *,
    bare: bool = False,
) -> dict:
    """Compare the rows that a training took with its conversations, for its manifest.

    A conversation is proven if it was taken once per epoch with loss on exactly its assistant
    turns.

    Args:
        conversations: the training set.
        consumed: how often the trainer took each row, by `row_digest`.
        epochs: passes over the training set.
        bare: whether the conversations have no system turn.

    Returns:
        rows (conversations), rows_proven, and tokens_expected (tokens with loss if all are proven).
    """
    planned: Counter[str] = Counter()
    tokens = 0
    for messages in conversations:
        input_ids, labels = expected(tokenizer, messages, bare=bare)
        planned[row_digest(input_ids, labels)] += 1
        tokens += sum(label != IGNORED for label in labels)
    return {
        "rows": len(conversations),
        "rows_proven": sum(n for row, n in planned.items() if consumed.get(row, 0) == epochs * n),
        "tokens_expected": epochs * tokens,
    }
