"""A multiple-choice test for lm-evaluation-harness, in which a question is read once.

The harness's own class reads the question again with each of its answers, and computes logits of
all its tokens. docs/protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

HARNESS: Any = HFLM  # Any, since a decorator of the harness hides the class's attributes
Scored = tuple[float, bool]  # log-probability of an answer; whether greedy decoding gives it


class QuizModel(HARNESS):
    """The harness's Hugging Face model; the answers to a question share the question's cache."""

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[Scored]:
        """The score of each answer, in order.

        requests: for each answer its texts, and the token ids of its question and its own.
        """
        if max(len(question) + len(answer) for _, question, answer in requests) > self.max_length:
            # The harness cuts a text that is too long, and says so.
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        answers: dict[tuple[int, ...], list[int]] = {}  # by question, the numbers of its requests
        for number, (_, question, _) in enumerate(requests):
            answers.setdefault(tuple(question), []).append(number)
        longest = {
            question: max(len(requests[number][2]) for number in numbers)
            for question, numbers in answers.items()
        }
        # Answers are padded to the longest of a batch, and there are more of them than questions.
        questions = sorted(answers, key=lambda question: (longest[question], len(question)))
        size = int(self.batch_size)
        scored: dict[int, Scored] = {}
        for start in range(0, len(questions), size):
            batch = questions[start : start + size]
            of_batch = [[requests[number][2] for number in answers[one]] for one in batch]
            scores = self._scores(batch, of_batch)
            for question, of_question in zip(batch, scores, strict=True):
                scored |= zip(answers[question], of_question, strict=True)
        return [scored[number] for number in range(len(requests))]

    def _scores(
        self, questions: Sequence[Sequence[int]], answers: Sequence[Sequence[list[int]]]
    ) -> list[list[Scored]]:
        """The scores of each question's answers; all are token ids."""
        owners: list[int] = []  # of each answer, the place of its question
        texts: list[list[int]] = []
        for place, of_question in enumerate(answers):
            owners += [place] * len(of_question)
            texts += of_question
        with torch.inference_mode():
            first, rest = self._logprobs(questions, owners, texts)
        scores: list[list[Scored]] = [[] for _ in questions]
        for number, (owner, text) in enumerate(zip(owners, texts, strict=True)):
            rows = torch.cat([first[owner][None], rest[number, : len(text) - 1]])
            ids = torch.tensor(text, device=rows.device)
            greedy = bool((rows.argmax(-1) == ids).all())
            scores[owner].append((float(rows.gather(1, ids[:, None]).sum()), greedy))
        return scores

    def _logprobs(
        self, questions: Sequence[Sequence[int]], owners: list[int], texts: list[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities over the vocabulary, V tokens.

        Returns:
            (questions, V) of the token after a question; and (answers, L, V) of the tokens after
            each token of an answer but its last, L tokens of the longest.
        """
        padded = max(len(question) for question in questions)
        ids = torch.tensor([[0] * (padded - len(one)) + list(one) for one in questions])
        seen = torch.tensor([[0] * (padded - len(one)) + [1] * len(one) for one in questions])
        read = self._read(ids, seen, logits_to_keep=1)
        first = self._log_softmax(read.logits[:, -1])
        width = max(len(text) for text in texts) - 1
        if not width:
            return first, first.new_empty(len(texts), 0, first.shape[-1])
        read.past_key_values.batch_select_indices(torch.tensor(owners, device=self.device))
        ids = torch.tensor([text[:-1] + [0] * (width + 1 - len(text)) for text in texts])
        seen = torch.cat([seen[owners], torch.ones_like(ids)], dim=1)
        rest = self._read(ids, seen, past_key_values=read.past_key_values)
        return first, self._log_softmax(rest.logits)

    def _read(self, ids: torch.Tensor, seen: torch.Tensor, **options: Any) -> Any:
        """The model's output for tokens, the last ones of those that `seen` counts."""
        positions = (seen.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids.to(self.device),
            attention_mask=seen.to(self.device),
            position_ids=positions.to(self.device),
            use_cache=True,
            **options,
        )

    def _log_softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """As the harness takes it, in its type."""
        return torch.nn.functional.log_softmax(logits, dim=-1, dtype=self.softmax_dtype)
