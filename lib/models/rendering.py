"""Conversations as a tokenizer's stock chat template writes them, and token ids as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.models.chatml import END_OF_TURN, START_OF_TURN, ModelError


def rendered(tokenizer: Any, messages: list[dict]) -> str:
    """A finished conversation as the stock template writes it."""
    return tokenizer.apply_chat_template(messages, tokenize=False)


def text_of(tokenizer: Any, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
    """The text of one sequence of token ids; `decode` by itself takes several sequences too."""
    return tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)


def bare_text(tokenizer: Any, messages: list[dict], *, prompt: bool = False) -> str:
    """A conversation without any system turn, as the stock template would write it.

    Many templates add a system turn of their own where a conversation has none. So it is rendered
    with a system text, and exactly that turn is cut off again.

    Args:
        prompt: whether the generation prompt follows.

    Raises ModelError if the template cannot express it: a system text changes other turns, or a
    system turn stays.
    """
    rests = set()
    for system in ("A", "B"):
        whole = [{"role": "system", "content": system}, *messages]
        text = tokenizer.apply_chat_template(whole, tokenize=False, add_generation_prompt=prompt)
        turn = f"{START_OF_TURN}system\n{system}{END_OF_TURN}\n"
        rests.add(text.removeprefix(turn) if text.startswith(turn) else None)
    rest = rests.pop()
    if rests or rest is None or f"{START_OF_TURN}system\n" in rest:
        raise ModelError(
            "the chat template cannot express a conversation without a system turn; set "
            "phase2.system to 'stock' or to a name of `systems`"
        )
    return rest
