"""Special tokens that a message spells: in a prompt they stay text and end no turn.

A tokenizer reads `<|im_end|>` in a rendered conversation as the end of a turn, whoever wrote it. So
each spelled token is exchanged for a sign that no message has, the conversation is rendered, and
the sign becomes text again after the template's own tokens have been found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain, count
from typing import Any

PRIVATE = 0xE000  # the first code point that Unicode gives no meaning


def guarded(tokenizer: Any, messages: list[dict]) -> tuple[list[dict], dict[str, str]]:
    """The messages with a sign for every special token that they spell, and the token by sign."""
    texts = [message["content"] for message in messages]
    spelled = [
        token for token in tokenizer.all_special_tokens if any(token in text for text in texts)
    ]
    if not spelled:
        return messages, {}
    used = set(chain.from_iterable(texts))
    free = (sign for sign in map(chr, count(PRIVATE)) if sign not in used)
    # The longest first, since one token may be a part of another.
    signs = {token: next(free) for token in sorted(spelled, key=len, reverse=True)}
    exchanged = []
    for message in messages:
        content = message["content"]
        for token, sign in signs.items():
            content = content.replace(token, sign)
        exchanged.append({**message, "content": content})
    return exchanged, {sign: token for token, sign in signs.items()}


def ids_of(tokenizer: Any, text: str, typed: Mapping[str, str]) -> list[int]:
    """Token ids of a text in which only the template's special tokens are spelled.

    typed: the token by its sign, as `guarded` gave it. Each is tokenised as text.
    """
    special = "|".join(map(re.escape, tokenizer.all_special_tokens))
    ids = []
    for number, piece in enumerate(re.split(f"({special})", text)):
        if number % 2:
            ids.append(tokenizer.convert_tokens_to_ids(piece))
            continue
        for sign, token in typed.items():
            piece = piece.replace(sign, token)
        plain = tokenizer(piece, add_special_tokens=False, split_special_tokens=True)
        ids += plain["input_ids"]
    return ids
