"""Which prompts are asked again, and how many of their attempts at once.

A serving engine answers a thousand requests nearly as fast as ten. So when few prompts are left,
several attempts of each are asked in one batch, and the first good one is kept. Which one that is
does not depend on how many were asked at once; an answer after the kept one is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping


class Retries:
    """The attempts that are left, by prompt id."""

    def __init__(self, first: Mapping[str, int], most: int, at_once: int):
        """What may be asked.

        Args:
            first: number of each prompt's first attempt, by prompt id.
            most: the number that no attempt reaches.
            at_once: requests that fill the engine; 1 = one attempt of each prompt at a time.
        """
        self._next = dict(first)
        self._most = most
        self._at_once = at_once

    def begin(self, prompt_id: str, attempt: int) -> None:
        """Add a prompt, to be asked from this attempt on."""
        self._next[prompt_id] = attempt

    def end(self, prompt_id: str) -> None:
        """Ask this prompt no more."""
        del self._next[prompt_id]

    def waits(self, prompt_id: str) -> bool:
        """Whether a prompt still has no answer that ended it."""
        return prompt_id in self._next

    def next_round(self) -> list[tuple[str, int]]:
        """What to ask now: (prompt id, attempt), the lower attempts first. Empty: nothing."""
        self._next = {key: number for key, number in self._next.items() if number < self._most}
        if not self._next:
            return []
        count = max(1, self._at_once // len(self._next))
        asked = []
        for step in range(count):
            for key, number in self._next.items():
                if number + step < self._most:
                    asked.append((key, number + step))
        self._next = {key: number + count for key, number in self._next.items()}
        return asked
