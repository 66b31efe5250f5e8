"""Read how likely a chat model finds each allowed answer to a question, from its next token.

Many completions, and several questions about each, share one forward pass
(`lib.judge.probe.passes`). A prompt is read once for all of its completions, a completion once for
all of its questions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lib.judge.frame import template_text
from lib.judge.llm import questions
from lib.judge.llm.questions import Question
from lib.judge.outcomes import JudgeError
from lib.judge.probe import passes

PACK = 2048  # tokens that share a sequence
BUDGET = {"cuda": 32768, "cpu": 2048}  # tokens in a batch: bounds the memory
LONGEST = 8192  # tokens from the first of the prompt to the last of a question
_PROMPT, _COMPLETION, _QUESTION = "\u2402", "\u2403", "\u2404"


@dataclass(frozen=True)
class Answers:
    """A model's answers to some questions about n completions."""

    expected: dict[str, np.ndarray]
    """By question, (n,): the mean value of the options. NaN for a completion that is too long."""

    mass: dict[str, np.ndarray]
    """By question, (n,): the probability of all options together."""

    tokens: np.ndarray
    """(n,): tokens of prompt, completion and questions. 0 for a completion that is too long."""


class NextToken:
    """Asks a chat model. Raises JudgeError unless it is a decoder with a chat template."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        decoder = getattr(model, "model", None)
        if decoder is None or not hasattr(decoder, "layers"):
            raise JudgeError(
                f"judge.model is a {type(model).__name__}, whose layers cannot be read in this "
                "process; name a decoder such as Qwen2.5 or Llama, or serve it and set "
                "judge.base_url"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        positions = getattr(model.config, "max_position_embeddings", None)
        self.longest = min(positions or LONGEST, LONGEST)
        self.head, self.tail = self._frame()
        self._own = lru_cache(4096)(self._tokens)  # frames and questions are the same every time

    def _frame(self) -> tuple[str, str]:
        """The chat template's text before and after the user turn."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise JudgeError(
                "the judge's model has no chat template; name an instruct model in judge.model"
            )
        head, tail = template_text(
            self.tokenizer, questions.SYSTEM, _QUESTION, _QUESTION, JudgeError
        )
        return head, tail

    def _tokens(self, text: str) -> tuple[int, ...]:
        """Tokens of the project's own text. Chat markers in it become markers."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _plain(self, text: str) -> tuple[int, ...]:
        """Tokens of a text to grade. Chat markers that it spells stay plain text."""
        asked = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(asked["input_ids"])

    def option_tokens(self, question: Question) -> dict[float, list[int]]:
        """First tokens of the spellings of each option.

        Raises JudgeError if two options share one: the next token could not tell them apart.
        """
        tokens: dict[float, list[int]] = {}
        for value, spellings in question.options.items():
            tokens[value] = sorted({self._own(spelling)[0] for spelling in spellings})
        listed = list(itertools.chain.from_iterable(tokens.values()))
        if len(set(listed)) < len(listed):
            raise JudgeError(
                "the judge's tokenizer begins two allowed answers with the same token; name "
                "another model, or serve this one and set judge.base_url"
            )
        return tokens

    def item(self, prompt: str, completion: str, asked: Sequence[Question]) -> passes.Item:
        """One completion and its questions as tokens."""
        mark = questions.mark_of(prompt, completion)
        before, after = questions.BEFORE.format(mark=mark, prompt=_PROMPT).split(_PROMPT)
        return passes.Item(
            self._own(self.head + before) + self._plain(prompt) + self._own(after),
            self._plain(completion) or self._own("\n"),
            tuple(
                self._own(questions.AFTER.format(mark=mark, question=question.text) + self.tail)
                for question in asked
            ),
        )

    def ask(self, pairs: Sequence[tuple[str, str]], asked: Mapping[str, Question]) -> Answers:
        """Ask every question about every (prompt, completion)."""
        options = {name: self.option_tokens(question) for name, question in asked.items()}
        items = [self.item(*pair, list(asked.values())) for pair in pairs]
        read = [k for k, item in enumerate(items) if _longest(item) <= self.longest]
        expected = {name: np.full(len(items), np.nan) for name in asked}
        mass = {name: np.full(len(items), np.nan) for name in asked}
        tokens = np.zeros(len(items), int)
        read.sort(key=lambda k: (items[k].prompt, len(items[k].answer)))
        budget = BUDGET.get(self.device.type, BUDGET["cpu"])
        packs = passes.pack_items([items[k] for k in read], min(PACK, budget))
        allowed = _tokens_of(options)
        for batch in passes.batches(packs, budget, self.device):
            members = itertools.chain.from_iterable(pack.items for pack in batch.packs)
            rows = [read[k] for k in members]
            logprobs = self._logprobs(batch, allowed)  # (rows, questions, vocabulary)
            for number, name in enumerate(asked):
                mean, total = _over_options(logprobs[:, number], options[name])
                expected[name][rows] = mean
                mass[name][rows] = total
        for k in read:
            tokens[k] = passes.Pack().cost(items[k])
        return Answers(expected, mass, tokens)

    def _logprobs(self, batch: passes.Batch, exact: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of the token after each question, items in the order of the packs.

        The logits of the tokens `exact` are computed in float32. In bfloat16 they would be rounded
        to an eighth.
        """
        states = passes.run_layers(self.model, batch, (), lambda layer, states: None)
        length = batch.input_ids.shape[1]
        ends: list[list[int]] = []
        for number, pack in enumerate(batch.packs):
            ends += [[number * length + end for end in own] for own in pack.question_ends]
        at_ends = states.reshape(-1, states.shape[-1])[torch.tensor(ends, device=self.device)]
        head = self.model.get_output_embeddings()
        places = torch.tensor(exact, device=self.device)
        with torch.inference_mode():
            logits = head(at_ends).float()
            logits[..., places] = at_ends.float() @ head.weight[places].float().T
            if getattr(head, "bias", None) is not None:
                logits[..., places] += head.bias[places].float()
            return torch.log_softmax(logits, -1)


def _tokens_of(options: Mapping[str, Mapping[float, Sequence[int]]]) -> list[int]:
    """Every token that begins an allowed answer to one of the questions."""
    tokens: set[int] = set()
    for of_question in options.values():
        tokens.update(*of_question.values())
    return sorted(tokens)


def _longest(item: passes.Item) -> int:
    """Tokens of the longest branch of an item."""
    return len(item.prompt) + len(item.answer) + max(map(len, item.questions))


def _over_options(
    logprobs: torch.Tensor, options: Mapping[float, Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean value of the options, and their total probability, (n,) each.

    Args:
        logprobs: (n, vocabulary).
        options: by value, the tokens that begin it. The mean weighs values by their share of the
            total probability.
    """
    of_option = torch.stack([logprobs[:, own].logsumexp(-1) for own in options.values()], -1)
    counts = torch.tensor(list(options), dtype=torch.float32, device=logprobs.device)
    mean = (torch.softmax(of_option, -1) * counts).sum(-1)
    return mean.cpu().numpy().astype(float), of_option.logsumexp(-1).exp().cpu().numpy()
