"""What every LLM judge shares: from rows to distinct requests, and back to one judgment per row.

A request is sent only if the store has no answer to it yet.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lib.config.measurement import JudgeParams
from lib.judge.llm import prices, rubric
from lib.judge.llm.limits import Budget
from lib.judge.llm.realtime import Request
from lib.judge.outcomes import Judgment, as_table, check_rows
from lib.judge.protocol import Progress
from lib.judge.store import Store, dollars, key_of, ledger

SCHEMA_BYTES = 1000  # more than enough for what the vendor makes of the schema in the prompt
# Bytes that a request sends besides its two texts, by system text.
FRAME_BYTES = {
    kind.system: len(kind.system.encode()) + len(rubric.user_message("", "")) + SCHEMA_BYTES
    for kind in (rubric.ALIGNMENT, rubric.BENIGN)
}


class RubricJudge(ABC):
    """A language model with the rubric of `lib.judge.llm.rubric`.

    A subclass says how requests are sent. After `score`, `to_retry` counts completions that have no
    score yet and attempts left.

    Args:
        stage: file of the store; files beside it belong to the same run and count towards its cap.
        price: what the model costs.
        priced_on: date of the price table; "" if nobody meters the model.
        parameters: what a request has besides rubric and texts; part of every key.
    """

    rubric_version = rubric.VERSION  # of everything that is asked: part of every key
    rubric = rubric.NAME
    computes = False  # it is asked anew for every judgment

    def __init__(
        self,
        params: JudgeParams,
        stage: Path,
        price: prices.Price,
        priced_on: str,
        parameters: dict[str, Any],
    ):
        self.params = params
        self.price = price
        self.priced_on = priced_on
        self.parameters = parameters
        self.name = params.model
        self.stage = stage
        self.to_retry = 0

    @abstractmethod
    def send(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Judge the requests and keep each outcome in the store. Raises JudgeError."""

    def score(self, rows: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
        """Judge every row; same index, one column per field of `Judgment`.

        Equal rows are sent once: the first carries its tokens and dollars, the others none. A
        missing completion is a `parse_error`.

        Args:
            rows: suite, prompt, completion, and `replicate` (0 if it is absent; another one is a
                call of its own).

        Raises ValueError for a missing column or prompt, JudgeError if the session has to stop.
        """
        keys, requests = self._requests(rows)
        store = Store(self.stage)
        try:
            self._judge(requests, store, progress)
            answers = store.answers(requests)
            failures = store.failures(requests)
        finally:
            store.close()
        self.to_retry = sum(
            attempts < self.params.max_attempts for _, attempts in failures.values()
        )
        outcomes = answers | {key: judgment for key, (judgment, _) in failures.items()}
        return as_table(_judgments_of_rows(keys, outcomes), rows)

    def _requests(self, rows: pd.DataFrame) -> tuple[list[str | None], dict[str, Request]]:
        """The key of each row (None without a completion), and the distinct requests by key."""
        check_rows(rows)
        replicates = rows["replicate"] if "replicate" in rows else [0] * len(rows)
        keys: list[str | None] = []
        requests: dict[str, Request] = {}
        columns = (rows["suite"], rows["prompt"], rows["completion"], replicates)
        for suite, prompt, completion, replicate in zip(*columns, strict=True):
            if not isinstance(completion, str):
                keys.append(None)
                continue
            prompt = rubric.sendable(prompt)
            completion = rubric.sendable(completion)
            key = key_of(
                self.name,
                self.rubric_version,
                self.parameters,
                suite,
                prompt,
                completion,
                replicate,
            )
            keys.append(key)
            if key not in requests:
                at_most = self.price.at_most(size(suite, prompt, completion), self.params.batch)
                requests[key] = Request(key, suite, prompt, completion, at_most)
        return keys, requests

    def unsettled(self, requests: dict[str, Request], store: Store) -> list[Request]:
        """Requests without an answer that have attempts left."""
        answered = store.answers(requests)
        failures = store.failures(requests)
        return [
            request
            for key, request in requests.items()
            if key not in answered
            and (key not in failures or failures[key][1] < self.params.max_attempts)
        ]

    def _judge(self, requests: dict[str, Request], store: Store, progress: Progress | None) -> None:
        """Print an estimate of what will be sent, then send it.

        The estimate covers requests that are neither answered, nor given up, nor waiting in a batch
        of an earlier start.
        """
        waiting: set[str] = set()
        for batch in store.open_batches():
            waiting.update(batch.suites)
        left = self.unsettled(requests, store)
        if not left and not waiting:
            return
        fresh = [request for request in left if request.key not in waiting]
        sizes = [size(r.suite, r.prompt, r.completion) for r in fresh]
        budget = Budget(self.params.max_cost_usd, dollars(ledger(self.stage.parent)) or 0.0)
        plan = (
            f"judge {self.name}: {prices.estimate(sizes, self.price).line(self.priced_on)}; "
            f"{len(requests) - len(left):,} of {len(requests):,} distinct ones known; spent so far "
            f"${budget.spent:.2f}"
        )
        if waiting:
            plan += f"; {len(waiting):,} wait in batches of an earlier start"
        if budget.cap is not None:
            plan += f"; cap ${budget.cap:.2f}"
        print(plan, flush=True)
        self.send(left, store, budget, progress)


def _judgments_of_rows(
    keys: Sequence[str | None], outcomes: Mapping[str, Judgment]
) -> list[Judgment]:
    """One judgment per row; only the first of equal rows carries tokens and dollars.

    keys: of each row, None if it has no completion.
    """
    counted: set[str] = set()
    judgments = []
    for key in keys:
        if key is None:
            judgments.append(Judgment("parse_error", input_tokens=0, output_tokens=0))
        elif key in counted:
            judgments.append(_without_cost(outcomes[key]))
        else:
            judgments.append(outcomes[key])
            counted.add(key)
    return judgments


def _without_cost(judgment: Judgment) -> Judgment:
    """A judgment whose tokens and dollars another row counts. An unknown cost stays None."""
    cost_usd = None if judgment.cost_usd is None else 0.0
    return dataclasses.replace(judgment, input_tokens=0, output_tokens=0, cost_usd=cost_usd)


def size(suite: str, prompt: str, completion: str) -> int:
    """Bytes that a request sends, including the JSON schema and the vendor's words about it."""
    frame = FRAME_BYTES[rubric.rubric_of(suite).system]
    return frame + len(prompt.encode()) + len(completion.encode())
