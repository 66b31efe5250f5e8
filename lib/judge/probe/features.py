"""The probe's features of an answer: hidden states of a chat model, pooled over its tokens.

Each answer is quoted in the `review` frame (lib/judge/probe/questions.py) and followed by two
questions, each in a branch of its own. Six vectors come out: the mean of the answer's states at
three depths, the mean over its last quarter, and the state at the end of each question. Layers
above the deepest one that is read are never computed.

An answer that takes something back is read once more, in the `chat` frame: as the assistant's own
turn. There the model continues the answer instead of looking at it from outside. Four vectors come
out: the means at three depths and over the last quarter.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lib.judge.frame import template_text
from lib.judge.outcomes import JudgeError
from lib.judge.probe import passes, questions
from lib.judge.probe.pooling import pools

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEAN_DEPTHS = (0.61, 0.68, 0.75)  # of the model's layers; chosen on design sources (docs/judges.md)
SHORT_DEPTH = 0.68  # of the last quarter's mean and of the questions' states
ASKED = ("kind", "harmful")
MAX_PROMPT = 512  # tokens of a prompt that are read
MAX_ANSWER = 512  # tokens of an answer that are read
# A token is rarely longer. Of a huge text only so many characters per allowed token are tokenised.
CHARACTERS_PER_TOKEN = 16
PACK = 1024  # tokens that share a sequence
BUDGET = {"cuda": 16384, "cpu": 1024}  # tokens in a batch: bounds the memory

FRAMES = ("review", "chat")

Progress = Callable[[int, int], None]
_PROMPT_MARK, _ANSWER_MARK = "\u2402", "\u2403"


class ProbeError(JudgeError):
    """A model or heads that the probe cannot use. One line with the remedy."""


def depth_layer(layers: int, depth: float) -> int:
    """The layer, counted from 1, at a share of a model's depth."""
    return max(1, round(layers * depth))


def cell_names(layers: int) -> list[str]:
    """Names of the vectors (cells) of the review frame, in a model with so many layers."""
    short = depth_layer(layers, SHORT_DEPTH)
    means = [f"mean.{depth_layer(layers, depth)}" for depth in MEAN_DEPTHS]
    return [*dict.fromkeys(means), f"tail.{short}", *(f"{name}.{short}" for name in ASKED)]


def chat_cell_names(layers: int) -> list[str]:
    """Names of the vectors of the chat frame. The part after the dot is the layer, as above."""
    review = cell_names(layers)
    return [f"chat_{cell}" for cell in review if cell.split(".")[0] not in ASKED]


@dataclass(frozen=True)
class Features:
    """Vectors of n answers."""

    states: np.ndarray  # (n, cells, width), float32
    tokens: np.ndarray  # (n,), tokens that were read for the answer alone
    read: int  # tokens that were read in all, prompts once per pack
    truncated: np.ndarray  # (n,), bool: prompt or answer was longer than what is read


class Reader:
    """Reads answers with a chat model. Raises ProbeError if the model is not a chat model."""

    def __init__(self, model: PreTrainedModel, tokenizer) -> None:
        self.tokenizer = tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise ProbeError(
                "the judge's model has no chat template; name an instruct model in judge.model"
            )
        layers = model.config.num_hidden_layers
        self.cells = cell_names(layers)
        self.chat_cells = chat_cell_names(layers)
        self.layers = sorted({int(cell.split(".")[1]) for cell in self.cells})
        decoder = getattr(model, "model", None)
        if decoder is None or not hasattr(decoder, "layers"):
            raise ProbeError(
                f"judge.model is a {type(model).__name__}, whose layers the probe cannot "
                "read; name a decoder such as Qwen2.5 or Llama"
            )
        self.architecture: dict[str, Any] = {
            "model_type": model.config.model_type,
            "layers": layers,
            "width": model.config.hidden_size,
        }
        decoder.layers = decoder.layers[: self.layers[-1]]
        model.lm_head = torch.nn.Identity()
        self.model = model.eval()
        self.device = next(decoder.parameters()).device
        self.before, self.after, self.turns = self._frame()
        self.chat_before, self.chat_after = self._chat_frame()

    def _template(self, text: str) -> tuple[int, ...]:
        """Tokens of the project's own text. Chat markers in it become markers."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _plain(self, text: str, limit: int) -> tuple[tuple[int, ...], bool]:
        """Tokens of a text, and whether it was cut. Chat markers that it spells stay plain text."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        head = text[: limit * CHARACTERS_PER_TOKEN]
        ids = self.tokenizer(head, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return tuple(ids[:limit]), len(ids) > limit or len(head) < len(text)

    def _frame(self) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, ...]]]:
        """Tokens before the prompt, between prompt and answer, and of each question."""
        user = questions.REVIEW_HEAD.format(prompt=_PROMPT_MARK) + _ANSWER_MARK
        marks = _PROMPT_MARK + _ANSWER_MARK
        before, after, end = template_text(
            self.tokenizer, questions.REVIEW_SYSTEM, user, marks, ProbeError
        )
        asked = [
            self._template(questions.REVIEW_TAIL + questions.QUESTIONS[name] + end)
            for name in ASKED
        ]
        return self._template(before), self._template(after), asked

    def _chat_frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens before the prompt of a chat, and between it and the assistant's turn."""
        before, after = template_text(
            self.tokenizer, questions.CHAT_SYSTEM, _PROMPT_MARK, _PROMPT_MARK, ProbeError
        )
        return self._template(before), self._template(after)

    def item(self, prompt: str, answer: str, frame: str = "review") -> tuple[passes.Item, bool]:
        """One answer as tokens, and whether any of it was cut."""
        asked, prompt_cut = self._plain(prompt, MAX_PROMPT)
        answered, answer_cut = self._plain(answer, MAX_ANSWER)
        answered = answered or self._template("\n")
        if frame == "chat":
            item = passes.Item(self.chat_before + asked + self.chat_after, answered)
        else:
            item = passes.Item(self.before + asked + self.after, answered, tuple(self.turns))
        return item, prompt_cut or answer_cut

    def tokenizer_hash(self, texts: Sequence[tuple[str, str]]) -> str:
        """sha256 over the token ids of the frame and of fixed texts.

        Publishers save one tokenizer in different files, but its token ids are the same.
        """
        ids = [self.item(prompt, answer)[0] for prompt, answer in texts]
        listed = repr([[*item.prompt, *item.answer, *item.questions] for item in ids])
        return hashlib.sha256(listed.encode()).hexdigest()

    def read(
        self,
        pairs: Sequence[tuple[str, str]],
        progress: Progress | None = None,
        budget: int | None = None,
        frame: str = "review",
    ) -> Features:
        """Vectors of (prompt, answer) pairs.

        Args:
            budget: tokens in a batch. None: as many as the device usually takes.
            frame: of FRAMES. It decides which vectors are read: `cells` or `chat_cells`.
        """
        budget = budget or BUDGET.get(self.device.type, BUDGET["cpu"])
        cells = self.chat_cells if frame == "chat" else self.cells
        made = [self.item(prompt, answer, frame) for prompt, answer in pairs]
        items = [item for item, _ in made]
        order = sorted(range(len(items)), key=lambda k: (items[k].prompt, len(items[k].answer)))
        packs = passes.pack_items([items[k] for k in order], min(PACK, budget))
        width = self.architecture["width"]
        states = np.zeros((len(items), len(cells), width), np.float32)
        done = 0
        tokens_read = 0
        for batch in passes.batches(packs, budget, self.device):
            members = itertools.chain.from_iterable(pack.items for pack in batch.packs)
            rows = [order[k] for k in members]
            states[rows] = self._vectors(batch, cells)
            done += len(rows)
            tokens_read += sum(len(pack.tokens) for pack in batch.packs)
            if progress is not None:
                progress(done, len(items))
        tokens = np.array([len(item.answer) for item in items], int)
        return Features(states, tokens, tokens_read, np.array([cut for _, cut in made], bool))

    def read_both(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """States in the review frame and then in the chat frame, (n, all cells, width)."""
        frames = [self.read(pairs, frame=frame).states for frame in FRAMES]
        return np.concatenate(frames, 1)

    def _vectors(self, batch: passes.Batch, cells: Sequence[str]) -> np.ndarray:
        """(items, cells, width) of one batch, items in the order of its packs."""
        mean, tail, ends = pools(batch, self.device)
        by_cell: dict[str, torch.Tensor] = {}

        def visit(layer: int, states: torch.Tensor) -> None:
            flat = states.reshape(-1, states.shape[-1]).float()
            for cell in cells:
                pool, own_layer = cell.removeprefix("chat_").split(".")
                if int(own_layer) != layer:
                    continue
                if pool in ASKED:
                    by_cell[cell] = flat[ends[:, ASKED.index(pool)]]
                else:
                    by_cell[cell] = (mean if pool == "mean" else tail).of(flat)

        passes.run_layers(self.model, batch, self.layers, visit)
        return torch.stack([by_cell[cell] for cell in cells], 1).cpu().numpy()
