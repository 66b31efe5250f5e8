"""The Message Batches API: half the price, answers within a day, and nothing paid twice whenever the process dies.

A batch is written down before the API hears of it, and its id before the first poll. What lies between is found again: the
API's list is searched for batches that were made since, and the custom ids in their results, which carry the mark of what
was written down, say which is ours.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import anthropic
import httpx2

from lib.judge.llm.realtime import KEPT, Budget, Request, Unusable
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.store import Batch, Store

MAX_REQUESTS, MAX_BYTES = (
    10_000,
    100_000_000,
)  # a batch; the API takes 100,000 and 256 MB, smaller ones fail smaller
FIRST_POLL, LAST_POLL = 5.0, 120.0  # seconds between polls, growing
TRIES = 8  # of anything that may fail for a moment: a batch that is not found yet, half a body, a lost connection
CLOCKS = timedelta(hours=1)  # how far this clock and the API's may be apart
KEY_SIGNS = 40  # of a key in a custom id, which has 64 signs


def pause(seconds: float) -> None:
    """Waits; a name of its own, so that tests need not."""
    time.sleep(seconds)


class Session:
    """One sitting with the batch interface. judge: a `ClaudeJudge`, which words requests and reads messages."""

    def __init__(
        self, client: anthropic.Anthropic, judge, store: Store, budget: Budget, progress=None
    ):
        self.client, self.judge, self.store, self.budget, self.progress = (
            client,
            judge,
            store,
            budget,
            progress,
        )
        self.api = client.messages.batches
        self._unusable = Unusable()
        self._tried: set[str] = (
            set()
        )  # keys that a batch of this sitting, or one collected in it, held

    def send(self, requests: Sequence[Request]) -> None:
        """Judges the requests, those of open batches first; expired and errored ones again up to the limit."""
        self.collect_open()
        while todo := self._left(requests):
            sent = [self._create(chunk) for chunk in self._chunks(todo)]
            if not sent:
                raise self.budget.error()
            print(
                f"{len(sent)} batches sent, {', '.join(batch.id for batch in sent)}; the answers may take a day. Interrupt "
                "at will, the next start picks them up",
                flush=True,
            )
            for batch in sent:
                self._collect(batch)
            self.budget.reserved = 0.0  # nothing is under way now
            if self.progress is not None:
                self.progress(len(requests) - len(self._left(requests)), len(requests))

    def collect_open(self) -> None:
        """Collects every batch of an earlier start, found by its id or, where that was never written, by its mark."""
        for batch in self.store.open_batches():
            found = batch if batch.id else self._find(batch)
            if found is None:
                self.store.forget(batch.marker)
            else:
                self._collect(found)

    def _left(self, requests: Sequence[Request]) -> list[Request]:
        """What is still to be sent: not yet tried in this sitting, or expired and errored with attempts left.

        A refusal or a malformed answer was paid for and waits for the next run.
        """
        keys = [request.key for request in requests]
        answered, failures = self.store.answers(keys), self.store.failures(keys)
        unpaid = {
            key
            for key, (judgment, attempts) in failures.items()
            if judgment.outcome in ("expired", "error")
            and attempts < self.judge.params.max_attempts
        }
        return [
            r
            for r in requests
            if r.key not in answered and (r.key not in self._tried or r.key in unpaid)
        ]

    def _chunks(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """Batches of the size that the API takes, as many as the cap has room for."""
        chunk, taken = [], 0
        for request in requests:
            if not self.budget.fits(request.at_most):
                break
            length = len(json.dumps(self.judge.body(request)).encode()) + 100
            if chunk and (len(chunk) == MAX_REQUESTS or taken + length > MAX_BYTES):
                yield chunk
                chunk, taken = [], 0
            chunk.append(request)
            taken += length
            self.budget.reserved += request.at_most
        if chunk:
            yield chunk

    def _create(self, chunk: Sequence[Request]) -> Batch:
        batch = self.store.intend(
            secrets.token_hex(8),
            self.judge.name,
            self.judge.rubric,
            {r.key: r.suite for r in chunk},
        )
        body = [
            {"custom_id": custom_id(batch.marker, r.key), "params": self.judge.body(r)}
            for r in chunk
        ]
        for attempt in range(TRIES):
            try:
                # No retry by the SDK: when the reply is lost, a second request could make, and charge, a second batch.
                created = self.client.with_options(max_retries=0).messages.batches.create(
                    requests=body
                )
                return self._known(batch, created.id)
            except anthropic.RateLimitError:  # certainly not made
                pause(LAST_POLL)
                continue
            except anthropic.APIStatusError as error:
                if error.status_code < 500:
                    self.store.forget(batch.marker)
                    refused = JudgeError(
                        f"the API takes no batch: {self.judge.reason(error)}; {KEPT}"
                    )
                    raise self.judge.stop(error) or refused from None
                pause(wait(attempt))
            except anthropic.APIConnectionError:
                pause(wait(attempt))
            if found := self._find(batch):
                return found
        self.store.forget(batch.marker)
        raise JudgeError(f"the API took no batch in {TRIES} attempts; {KEPT}")

    def _known(self, batch: Batch, id: str) -> Batch:
        self.store.created(batch.marker, id)
        return Batch(batch.marker, id, batch.intended, batch.model, batch.rubric, batch.suites)

    def _find(self, batch: Batch) -> Batch | None:
        """The batch among those that the API lists, or None when it was never made. What has our mark is ours."""
        foreign: set[str] = set()
        for attempt in range(3):  # a list can lag behind
            for listed in self._listed(batch):
                if listed not in foreign:
                    entries = self._results(listed) if self._wait(listed) else []
                    if any(entry.custom_id.startswith(f"{batch.marker}-") for entry in entries):
                        return self._known(batch, listed)
                    foreign.add(listed)
            pause(wait(attempt))
        return None

    def _listed(self, batch: Batch) -> list[str]:
        """Ids of batches that could be this one: made since, as many requests, and nobody's yet."""
        found, known = [], self.store.batch_ids()
        try:
            for listed in self.api.list(limit=100):
                if listed.created_at < batch.intended - CLOCKS:
                    break
                counts = listed.request_counts
                total = (
                    counts.processing
                    + counts.succeeded
                    + counts.errored
                    + counts.canceled
                    + counts.expired
                )
                if listed.id not in known and total == len(batch.suites):
                    found.append(listed.id)
        except anthropic.APIError as error:
            raise self._unreachable(error, "of one may be unknown") from None
        return found

    def _wait(self, id: str) -> bool:
        """Polls until a batch has ended; just after its creation it may not be found. False: its results are gone."""
        failed = polls = 0
        while True:
            try:
                batch, failed = self.api.retrieve(id), 0
                if batch.processing_status == "ended":
                    return batch.archived_at is None
            except anthropic.APIError as error:
                failed += 1
                if failed == TRIES or self.judge.stop(error):
                    raise self._unreachable(error, id) from None
            pause(wait(polls))
            polls += 1

    def _results(self, id: str) -> list:
        """Every result of a batch that has ended, in whatever order; read again when the body breaks off."""
        for attempt in range(TRIES):
            try:
                return list(self.api.results(id))
            except (
                anthropic.AnthropicError,
                httpx2.HTTPError,
                ValueError,
            ) as error:  # the transport's own in mid-stream
                last = error
                pause(wait(attempt))
        raise self._unreachable(last, id)

    def _collect(self, batch: Batch) -> None:
        """Keeps every outcome of a batch by its custom id; a request without a result is an error of its own."""
        self._tried.update(batch.suites)
        there = self._wait(batch.id)
        missing, reasons, answered, stop = dict(batch.suites), [], 0, None
        by_custom_id = {custom_id(batch.marker, key): key for key in batch.suites}
        for entry in self._results(batch.id) if there else []:
            key = by_custom_id.get(entry.custom_id)
            if key is None or key not in missing:
                continue
            judgment, reason = self._read(entry.result, missing.pop(key), batch)
            answered += reason is None
            reasons += [reason] if reason else []
            stop = self._unusable.note(judgment) or stop
            self._keep(key, judgment, batch)
        for key in missing:
            self._keep(key, Judgment("error" if there else "expired"), batch)
        self.store.finish(batch.marker)
        if reasons and not answered:
            raise JudgeError(
                f"every request of batch {batch.id} failed, first: {reasons[0]}; {KEPT}"
            )
        if stop:
            raise stop

    def _read(self, result, suite: str, batch: Batch) -> tuple[Judgment, str | None]:
        """Judgment of one result, and why the API made none."""
        if result.type == "succeeded":
            return self.judge.read(result.message.to_dict(), suite, batch=True), None
        if result.type == "expired":
            return Judgment("expired"), None
        error = getattr(getattr(result, "error", None), "error", None)
        return Judgment("error"), self.judge.reason(error) if error is not None else result.type

    def _keep(self, key: str, judgment: Judgment, batch: Batch) -> None:
        if self.store.add(key, judgment, model=batch.model, rubric=batch.rubric, batch=batch.id):
            self.budget.spent += judgment.cost_usd or 0.0

    def _unreachable(self, error: Exception, id: str) -> JudgeError:
        return self.judge.stop(error) or JudgeError(
            f"the API does not show batch {id}: {self.judge.reason(error)}; its requests are on disk, run again to pick it up"
        )


def custom_id(marker: str, key: str) -> str:
    """What names a request within a batch: the batch's mark and the beginning of the request's key."""
    return f"{marker}-{key[:KEY_SIGNS]}"


def wait(attempt: int) -> float:
    """Seconds before the next look."""
    return min(LAST_POLL, FIRST_POLL * 1.5**attempt)
