"""Pool hidden states over an answer, over its last quarter, and at the ends of questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lib.judge.probe import passes

TAIL_SHARE = 4  # the tail is the last quarter of an answer


@dataclass(frozen=True)
class Average:
    """Means over spans of tokens."""

    spans: torch.Tensor  # of each averaged token, the number of its span
    tokens: torch.Tensor  # of each averaged token, its position
    shares: torch.Tensor  # of each averaged token, one over the size of its span
    count: int  # number of spans

    def of(self, states: torch.Tensor) -> torch.Tensor:
        """Mean of states (tokens, width) over each span, (spans, width)."""
        sums = states.new_zeros(self.count, states.shape[1])
        return sums.index_add_(0, self.spans, states[self.tokens] * self.shares[:, None])


def _averaging(spans: Sequence[tuple[int, int]], device: torch.device) -> Average:
    """Means over (start, stop) spans."""
    sizes = torch.tensor([stop - start for start, stop in spans])
    numbers = torch.repeat_interleave(torch.arange(len(spans)), sizes)
    places = torch.cat([torch.arange(start, stop) for start, stop in spans])
    shares = torch.repeat_interleave(1.0 / sizes, sizes)
    return Average(numbers.to(device), places.to(device), shares.to(device), len(spans))


def pools(batch: passes.Batch, device: torch.device) -> tuple[Average, Average, torch.Tensor]:
    """Means over each answer and over its tail, and the positions where its questions end."""
    length = batch.input_ids.shape[1]
    spans: list[tuple[int, int]] = []
    ends: list[list[int]] = []
    for number, pack in enumerate(batch.packs):
        start = number * length
        spans += [(start + span.start, start + span.stop) for span in pack.answers]
        ends += [[start + end for end in own] for own in pack.question_ends]
    tails = [(stop - math.ceil((stop - start) / TAIL_SHARE), stop) for start, stop in spans]
    return (
        _averaging(spans, device),
        _averaging(tails, device),
        torch.tensor(ends, dtype=torch.long, device=device),
    )
