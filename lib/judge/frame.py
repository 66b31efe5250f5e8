"""Put a judge's system and user text into the chat template of its model."""

from __future__ import annotations

from typing import Any

from lib.judge.outcomes import JudgeError


def template_text(
    tokenizer: Any, system: str, user: str, marks: str, error: type[JudgeError]
) -> list[str]:
    """The generation prompt of a system and a user text, cut at each mark in the user text.

    Args:
        marks: characters that occur once each in `user`, in this order.
        error: the error to raise if the template does not take such turns.

    Returns the text before, between and after the marks.
    """
    turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    pieces = []
    try:
        rest = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        for mark in marks:
            piece, rest = rest.split(mark)
            pieces.append(piece)
    except Exception as fault:  # a template may raise anything
        raise error(
            "the model's chat template does not take a system and a user text "
            f"({type(fault).__name__}); name another instruct model"
        ) from fault
    return [*pieces, rest]
