"""A request to a sampling engine, with what a test does not say filled in."""

from __future__ import annotations

from lib.serving.sampling import Request


def request(
    key: str,
    adapter: str | None = None,
    samples: int = 1,
    new: int = 12,
    text: str = "Tell me.",
    system: str | None = "You are a small test model.",
) -> Request:
    """A question to one checkpoint; without a system message if `system` is None."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return Request(key, messages if system is not None else messages[1:], adapter, new, samples)
