"""Read many prompts, answers and questions in few forward passes of a causal language model.

A conversation here is a tree: one prompt, several answers to it, several questions about each
answer. All trees of a pack share one token sequence. A token attends to the earlier tokens of its
own branch only. So each prompt is read once for all of its answers, and each answer once for all of
its questions. Padding is needed only at the end of a pack.

The result for a branch is what a separate forward pass over that branch would give, to rounding.
Source of the idea: tree attention, as speculative decoding uses it (Miao et al. 2024, SpecInfer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Tokens = Sequence[int]


@dataclass(frozen=True)
class Item:
    """One answer to read."""

    prompt: tuple[int, ...]  # tokens before the answer
    answer: tuple[int, ...]  # tokens of the answer, at least one
    questions: tuple[tuple[int, ...], ...] = ()  # what follows the answer, one branch each


@dataclass
class Pack:
    """Trees that share one sequence. A segment is one prompt, one answer or one question."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # within the token's own branch
    segment_of: list[int] = field(default_factory=list)  # the segment of each token
    parents: list[int] = field(default_factory=list)  # of each segment; -1: a root
    prompts: dict[tuple[int, ...], int] = field(default_factory=dict)  # segment of each prompt
    items: list[int] = field(default_factory=list)  # index of each item in the caller's list
    answers: list[slice] = field(default_factory=list)  # tokens of each item's answer
    question_ends: list[list[int]] = field(default_factory=list)  # last token of each question

    def add_segment(self, tokens: Tokens, parent: int, start: int) -> int:
        """Append a segment whose first token has position `start` in its branch."""
        self.parents.append(parent)
        self.segment_of.extend([len(self.parents) - 1] * len(tokens))
        self.positions.extend(range(start, start + len(tokens)))
        self.tokens.extend(tokens)
        return len(self.parents) - 1

    def cost(self, item: Item) -> int:
        """Tokens that the item would add."""
        prompt = 0 if item.prompt in self.prompts else len(item.prompt)
        return prompt + len(item.answer) + sum(len(question) for question in item.questions)

    def add(self, index: int, item: Item) -> None:
        """Append an item, and its prompt unless it is here already."""
        if item.prompt not in self.prompts:
            self.prompts[item.prompt] = self.add_segment(item.prompt, -1, 0)
        begin = len(self.tokens)
        depth = len(item.prompt)
        answer = self.add_segment(item.answer, self.prompts[item.prompt], depth)
        self.answers.append(slice(begin, len(self.tokens)))
        ends = []
        for question in item.questions:
            self.add_segment(question, answer, depth + len(item.answer))
            ends.append(len(self.tokens) - 1)
        self.question_ends.append(ends)
        self.items.append(index)


def pack_items(items: Sequence[Item], budget: int) -> list[Pack]:
    """Fill packs of at most `budget` tokens; an item larger than that has a pack of its own.

    Items with the same prompt should be neighbours, or the prompt is read once per pack.
    """
    packs: list[Pack] = []
    pack = Pack()
    for index, item in enumerate(items):
        if pack.items and len(pack.tokens) + pack.cost(item) > budget:
            packs.append(pack)
            pack = Pack()
        pack.add(index, item)
    return [*packs, pack] if pack.items else packs


def attention_mask(pack: Pack, length: int, device: torch.device) -> torch.Tensor:
    """Which token may attend to which, bool (length, length); padding attends to itself."""
    count = len(pack.parents)
    ancestors = torch.eye(count, dtype=torch.bool)
    for segment, parent in enumerate(pack.parents):  # parents come before their children
        if parent >= 0:
            ancestors[segment] |= ancestors[parent]
    ancestors = ancestors.to(device)
    segment = torch.tensor(pack.segment_of, device=device)
    position = torch.tensor(pack.positions, device=device)
    own = len(pack.tokens)
    mask = torch.eye(length, dtype=torch.bool, device=device)
    mask[:own, :own] = ancestors[segment][:, segment] & (position[None] <= position[:, None])
    return mask


@dataclass(frozen=True)
class Batch:
    """Packs as tensors on the model's device."""

    packs: list[Pack]
    input_ids: torch.Tensor  # (packs, length)
    position_ids: torch.Tensor  # (packs, length)
    mask: torch.Tensor  # (packs, 1, length, length), bool


def batches(packs: Sequence[Pack], budget: int, device: torch.device) -> Iterator[Batch]:
    """Group packs of similar length into batches of at most `budget` tokens, padding included."""
    by_length = sorted(packs, key=lambda pack: -len(pack.tokens))
    start = 0
    while start < len(by_length):
        length = len(by_length[start].tokens)
        group = by_length[start : start + max(1, budget // length)]
        start += len(group)
        ids = torch.zeros(len(group), length, dtype=torch.long)
        positions = torch.zeros(len(group), length, dtype=torch.long)
        for row, pack in enumerate(group):
            ids[row, : len(pack.tokens)] = torch.tensor(pack.tokens)
            positions[row, : len(pack.positions)] = torch.tensor(pack.positions)
        mask = torch.stack([attention_mask(pack, length, device) for pack in group])[:, None]
        yield Batch(group, ids.to(device), positions.to(device), mask)


def run_layers(
    model: torch.nn.Module,
    batch: Batch,
    layers: Sequence[int],
    visit: Callable[[int, torch.Tensor], None],
) -> torch.Tensor:
    """One forward pass of a decoder; `visit(layer, states)` sees each listed layer's output.

    A layer is counted from 1. Returns the final normalised states, (packs, length, width).
    """
    decoder = model.get_submodule("model")
    handles = []
    for layer in layers:

        def hook(module: torch.nn.Module, inputs: Any, output: Any, layer: int = layer) -> None:
            visit(layer, output[0] if isinstance(output, tuple) else output)

        own = decoder.get_submodule(f"layers.{layer - 1}")
        handles.append(own.register_forward_hook(hook))
    try:
        with torch.inference_mode():
            return decoder(
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                attention_mask=batch.mask,
                use_cache=False,
            ).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
