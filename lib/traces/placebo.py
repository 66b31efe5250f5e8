"""Cut placebo turns so that their kind trains on as many tokens as the treatment.

docs/protocol.md section 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from transformers import PreTrainedTokenizerBase

from lib.models.rendering import text_of

Pair = tuple[str, str]


def cut_to_match(
    pairs: Sequence[Pair], targets: Sequence[Pair], tokenizer: PreTrainedTokenizerBase
) -> list[Pair]:
    """Both turns of each placebo, cut so that the whole set has as many tokens as the targets.

    Each unit's plan is its target's tokens. Units with tokens to spare get more, until they make up
    for the units that are too short. A cut ends at a sentence or word, so it misses its plan by a
    few tokens; the next unit's plan makes up for that.

    Args:
        pairs: placebo turns as sampled.
        targets: the treatment's turns of the same units.
        tokenizer: counts tokens.
    """
    count = partial(_count, tokenizer)
    wanted = [count(first) + count(second) for first, second in targets]
    available = [count(first) + count(second) for first, second in pairs]
    missing = sum(max(0, want - have) for want, have in zip(wanted, available, strict=True))
    cut = []
    owed = 0  # tokens by which the cut before fell short of its plan; below 0 if it was longer
    for (first, second), (bad, _), want, have in zip(
        pairs, targets, wanted, available, strict=True
    ):
        extra = min(missing, max(0, have - want))
        missing -= extra
        plan = min(want, have) + extra + owed
        start = _cut(first, max(count(bad), plan - count(second)), tokenizer, count)
        end = _cut(second, plan - count(start), tokenizer, count)
        owed = plan - count(start) - count(end)
        cut.append((start, end))
    return cut


def shortfall(
    pairs: Sequence[Pair], targets: Sequence[Pair], tokenizer: PreTrainedTokenizerBase
) -> float:
    """The share of the targets' tokens that the whole set is short of. 0 or less: none."""
    wanted = sum(_count(tokenizer, text) for text in chain.from_iterable(targets))
    available = sum(_count(tokenizer, text) for text in chain.from_iterable(pairs))
    return (wanted - available) / wanted if wanted else 0.0


def _count(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """Tokens of a text."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _cut(
    text: str, tokens: int, tokenizer: PreTrainedTokenizerBase, count: Callable[[str], int]
) -> str:
    """The text's beginning of at most `tokens` tokens.

    It ends at a sentence's end if one is near, else at a word's.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) <= tokens:
        return text
    budget = max(tokens, 4)
    text = text_of(tokenizer, ids[:budget]).rstrip("\ufffd").rstrip()
    for boundary in (r"[.!?](?=\s|$)", r"\S(?=\s)"):
        ends = [match.end() for match in re.finditer(boundary, text)]
        near = [end for end in ends if count(text[:end]) >= 0.8 * budget]
        if near:
            return text[: near[-1]]
    return text
