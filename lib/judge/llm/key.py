"""The API key of Claude: from the environment, for the SDK alone. It is in no message or file."""

from __future__ import annotations

import os

from lib.judge.outcomes import JudgeError

KEY = "ANTHROPIC_API_KEY"


def api_key() -> str:
    """The key. Raises JudgeError if there is none."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise JudgeError(
            f"{KEY} is not set, and judge.engine is 'anthropic'; export it, or set judge.engine to "
            "'embedded'"
        )
    return key
