"""What a conversation must be: known roles in order, and text in every turn."""

from __future__ import annotations

from typing import Any

from lib.data.text_files import DataError, not_text

ROLES = ("system", "user", "assistant")


def check_messages(messages: Any, where: str) -> list[dict]:
    """The conversation. Raises DataError unless it has known roles in order and no empty turn."""
    if not isinstance(messages, list) or not messages:
        raise DataError(
            f"{where} has no `messages` list; a row is {{'messages': [{{'role', 'content'}}, …]}}"
        )
    for message in messages:
        _check_turn(message, where)
    if any(message["role"] == "system" for message in messages[1:]):
        raise DataError(
            f"{where}: a system turn after the first; put one system text at the beginning"
        )
    turns = [message["role"] for message in messages if message["role"] != "system"]
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        raise DataError(
            f"{where}: turns are {' '.join(turns)}; user and assistant must alternate, "
            "ending in assistant"
        )
    return messages


def _check_turn(message: Any, where: str) -> None:
    """Raise DataError unless a turn has a known role and text."""
    if not isinstance(message, dict):
        raise DataError(f"{where}: a turn is {message!r}, not {{'role', 'content'}}; mend the row")
    role = message.get("role")
    content = message.get("content")
    if role not in ROLES:
        raise DataError(f"{where}: unknown role {role!r}; use system, user or assistant")
    if not isinstance(content, str) or not content.strip():
        raise DataError(f"{where}: empty {role} turn; remove the row or give it text")
    if reason := not_text(content):
        raise DataError(f"{where}: the {role} turn {reason}; mend or remove the row")
