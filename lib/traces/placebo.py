"""Placebo turns cut so that their kind trains on as many tokens as the treatment.

Source: docs/protocol.md section 3. A unit whose placebo is shorter than its treatment is made up for
by units whose placebo has tokens to spare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Pair = tuple[str, str]


def cut_to_match(pairs: Sequence[Pair], targets: Sequence[Pair], tokenizer) -> list[Pair]:
    """Both turns of each placebo, cut so that the whole set has as many tokens as the targets.

    pairs: placebo turns as sampled; targets: the treatment's turns of the same units.
    """

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    wanted = [count(first) + count(second) for first, second in targets]
    there = [count(first) + count(second) for first, second in pairs]
    missing = sum(max(0, want - have) for want, have in zip(wanted, there, strict=True))
    cut, owed = [], 0  # owed: what the cuts so far left short of their plan (+) or ahead of it (-)
    for (first, second), (bad, _), want, have in zip(pairs, targets, wanted, there, strict=True):
        extra = min(missing, max(0, have - want))
        missing -= extra
        plan = min(want, have) + extra + owed
        start = _cut(first, max(count(bad), plan - count(second)), tokenizer, count)
        end = _cut(second, plan - count(start), tokenizer, count)
        owed = plan - count(start) - count(end)
        cut.append((start, end))
    return cut


def shortfall(pairs: Sequence[Pair], targets: Sequence[Pair], tokenizer) -> float:
    """The share of the targets' tokens that the whole set is short of; 0 or less: none."""

    def total(turns: Sequence[Pair]) -> int:
        return sum(
            len(tokenizer(text, add_special_tokens=False)["input_ids"])
            for pair in turns
            for text in pair
        )

    wanted = total(targets)
    return (wanted - total(pairs)) / wanted if wanted else 0.0


def _cut(text: str, tokens: int, tokenizer, count: Callable[[str], int]) -> str:
    """The text's beginning of at most `tokens` tokens, to a sentence's end if near, else a word's."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) <= tokens:
        return text
    budget = max(tokens, 4)
    text = tokenizer.decode(ids[:budget], skip_special_tokens=True).rstrip("\ufffd").rstrip()
    for boundary in (r"[.!?](?=\s|$)", r"\S(?=\s)"):
        ends = [
            m.end() for m in re.finditer(boundary, text) if count(text[: m.end()]) >= 0.8 * budget
        ]
        if ends:
            return text[: ends[-1]]
    return text
