"""What every LLM judge shares: from rows to distinct requests, what the store knows already, and back to one row each."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lib.config.schema import JudgeParams
from lib.judge.llm import prices, rubric
from lib.judge.llm.realtime import Budget, Request
from lib.judge.outcomes import Judgment, as_table, check_rows
from lib.judge.protocol import Progress
from lib.judge.store import Store, dollars, key_of, ledger

SCHEMA_BYTES = 1000  # generous: the vendor words the schema into the prompt
FRAME = [
    len(r.system.encode()) + len(rubric.user_message("", "")) + SCHEMA_BYTES
    for r in (rubric.ALIGNMENT, rubric.BENIGN)
]


class RubricJudge(ABC):
    """A language model with the rubric of `lib.judge.llm.rubric`; an engine says how requests are sent.

    stage: file of the store; files beside it belong to the same run, and count towards its cap. `parameters` are what the
    request carries besides rubric and text. After `score`, `to_retry` counts completions that have no score yet and
    attempts left.
    """

    rubric = rubric.NAME
    computes = False  # it is asked anew for every judgment

    def __init__(
        self,
        params: JudgeParams,
        stage: Path,
        price: prices.Price,
        priced_on: str,
        parameters: dict,
    ):
        self.params, self.price, self.priced_on, self.parameters = (
            params,
            price,
            priced_on,
            parameters,
        )
        self.name, self.stage, self.to_retry = params.model, stage, 0

    @abstractmethod
    def send(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Judges the requests and keeps each outcome in the store. Raises JudgeError."""

    def score(self, rows: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
        """Judge every row; same index, one column per field of `Judgment`.

        rows: suite, prompt, completion, and `replicate` (0 where it is absent; another one is a call of its own). Equal
        rows are sent once: the first carries its tokens and dollars, the others none. A missing completion is a
        `parse_error`. Raises ValueError for a missing column or prompt, JudgeError when the session has to stop.
        """
        keys, requests = self._requests(rows)
        store = Store(self.stage)
        try:
            self._judge(requests, store, progress)
            answers, failures = store.answers(requests), store.failures(requests)
        finally:
            store.close()
        self.to_retry = sum(
            attempts < self.params.max_attempts for _, attempts in failures.values()
        )
        found, seen, judgments = (
            answers | {key: judgment for key, (judgment, _) in failures.items()},
            set(),
            [],
        )
        for key in keys:
            judgment = (
                found[key] if key else Judgment("parse_error", input_tokens=0, output_tokens=0)
            )
            if key in seen:
                judgment = dataclasses.replace(
                    judgment,
                    input_tokens=0,
                    output_tokens=0,
                    cost_usd=None if judgment.cost_usd is None else 0.0,
                )
            seen.add(key)
            judgments.append(judgment)
        return as_table(judgments, rows)

    def _requests(self, rows: pd.DataFrame) -> tuple[list[str | None], dict[str, Request]]:
        """The key of each row (None without a completion), and the distinct requests by key."""
        check_rows(rows)
        replicates = rows["replicate"] if "replicate" in rows else [0] * len(rows)
        keys, requests = [], {}
        columns = (rows["suite"], rows["prompt"], rows["completion"], replicates)
        for suite, prompt, completion, replicate in zip(*columns, strict=True):
            if not isinstance(completion, str):
                keys.append(None)
                continue
            prompt, completion = rubric.sendable(prompt), rubric.sendable(completion)
            key = key_of(
                self.name, rubric.VERSION, self.parameters, suite, prompt, completion, replicate
            )
            keys.append(key)
            if key not in requests:
                requests[key] = Request(
                    key,
                    suite,
                    prompt,
                    completion,
                    self.price.at_most(size(suite, prompt, completion), self.params.batch),
                )
        return keys, requests

    def unsettled(self, requests: dict[str, Request], store: Store) -> list[Request]:
        """Requests without an answer that have attempts left."""
        answered, failures = store.answers(requests), store.failures(requests)
        return [
            request
            for key, request in requests.items()
            if key not in answered
            and (key not in failures or failures[key][1] < self.params.max_attempts)
        ]

    def _judge(self, requests: dict[str, Request], store: Store, progress: Progress | None) -> None:
        """Sends what is neither answered, nor given up, nor waiting in a batch of an earlier start."""
        waiting = {key for batch in store.open_batches() for key in batch.suites}
        left = self.unsettled(requests, store)
        if not left and not waiting:
            return
        fresh = [request for request in left if request.key not in waiting]
        sizes = [size(r.suite, r.prompt, r.completion) for r in fresh]
        budget = Budget(self.params.max_cost_usd, dollars(ledger(self.stage.parent)) or 0.0)
        print(
            f"judge {self.name}: {prices.estimate(sizes, self.price).line(self.priced_on)}; {len(requests) - len(left):,} of "
            f"{len(requests):,} distinct ones known; spent so far ${budget.spent:.2f}"
            + (f"; {len(waiting):,} wait in batches of an earlier start" if waiting else "")
            + (f"; cap ${budget.cap:.2f}" if budget.cap is not None else ""),
            flush=True,
        )
        self.send(left, store, budget, progress)


def size(suite: str, prompt: str, completion: str) -> int:
    """Bytes that a request sends, the JSON schema and what the vendor says about it included."""
    return FRAME[suite == "benign"] + len(prompt.encode()) + len(completion.encode())
