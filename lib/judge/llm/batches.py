"""Judging in batches: half the price, answers within a day, and nothing paid for twice.

A batch is written down, with a marker, before it is sent, and its id before the first poll. If the
process dies in between, the batch is found again: the API lists the batches made since then, and
the custom ids in the results of ours begin with the marker.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import anthropic

from lib.judge.llm import batch_api
from lib.judge.llm.batch_api import LAST_POLL, TRIES, BatchApi, wait
from lib.judge.llm.limits import KEPT, Budget, Unusable
from lib.judge.llm.realtime import Request
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.protocol import Progress
from lib.judge.store import Batch, Store

if TYPE_CHECKING:
    from lib.judge.llm.claude import ClaudeJudge

# Limits of one batch. The API takes 100,000 requests and 256 MB, but a smaller batch loses less if
# it fails.
MAX_REQUESTS = 10_000
MAX_BYTES = 100_000_000
KEY_DIGITS = 40  # of a key that are put into a custom id, which has at most 64 characters
LOOKS = 3  # how often the list of batches is read, since it can lag behind


class Session:
    """One run of this process with the batch interface.

    Args:
        client: the SDK's client.
        judge: writes the requests and reads the messages.
        store: where batches and answers are kept.
        budget: dollars spent and allowed.
        progress: called with (requests answered, requests in all).
    """

    def __init__(
        self,
        client: anthropic.Anthropic,
        judge: ClaudeJudge,
        store: Store,
        budget: Budget,
        progress: Progress | None = None,
    ):
        self.api = BatchApi(client, judge)
        self.judge = judge
        self.store = store
        self.budget = budget
        self.progress = progress
        self._unusable = Unusable()
        # Keys in a batch that was sent or collected by this object.
        self._tried: set[str] = set()

    def send(self, requests: Sequence[Request]) -> None:
        """Judge the requests, those of open batches first.

        Expired and errored ones are sent again up to the limit of attempts.
        """
        self.collect_open()
        while left := self._left(requests):
            sent = [self._create(chunk) for chunk in self._chunks(left)]
            if not sent:
                raise self.budget.error()
            ids = ", ".join(str(batch.id) for batch in sent)
            print(
                f"{len(sent)} batches sent, {ids}; the answers may take a day. Interrupt at will, "
                "the next start picks them up",
                flush=True,
            )
            for batch in sent:
                self._collect(batch)
            self.budget.reserved = 0.0  # every batch is collected
            if self.progress is not None:
                self.progress(len(requests) - len(self._left(requests)), len(requests))

    def collect_open(self) -> None:
        """Collect every batch of an earlier start.

        It is found by its id or, if that was never written, by its mark.
        """
        for batch in self.store.open_batches():
            known = batch if batch.id else self._find(batch)
            if known is None:
                self.store.forget(batch.marker)
            else:
                self._collect(known)

    def _left(self, requests: Sequence[Request]) -> list[Request]:
        """The requests that are still to send.

        These are the ones not tried yet, and those that expired or errored and have attempts left.
        A refusal or a malformed answer was paid for, and is asked again only by the next run.
        """
        keys = [request.key for request in requests]
        answered = self.store.answers(keys)
        unpaid = {
            key
            for key, (judgment, attempts) in self.store.failures(keys).items()
            if judgment.outcome in ("expired", "error")
            and attempts < self.judge.params.max_attempts
        }
        sendable = [key for key in keys if key not in self._tried or key in unpaid]
        wanted = set(sendable) - answered.keys()
        return [request for request in requests if request.key in wanted]

    def _chunks(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """The requests in batches of the allowed size, until the cap in dollars is reached."""
        chunk: list[Request] = []
        chunk_bytes = 0
        for request in requests:
            if not self.budget.fits(request.at_most):
                break
            size = len(json.dumps(self.judge.body(request)).encode()) + 100
            if chunk and (len(chunk) == MAX_REQUESTS or chunk_bytes + size > MAX_BYTES):
                yield chunk
                chunk = []
                chunk_bytes = 0
            chunk.append(request)
            chunk_bytes += size
            self.budget.reserved += request.at_most
        if chunk:
            yield chunk

    def _create(self, chunk: Sequence[Request]) -> Batch:
        """Write a batch down and send it. Raises JudgeError if the API does not take it."""
        suites = {request.key: request.suite for request in chunk}
        marker = secrets.token_hex(8)
        batch = self.store.intend(marker, self.judge.name, self.judge.rubric, suites)
        body = [
            {"custom_id": custom_id(marker, request.key), "params": self.judge.body(request)}
            for request in chunk
        ]
        for attempt in range(TRIES):
            try:
                return self._known(batch, self.api.create(body))
            except anthropic.RateLimitError:  # certainly not made
                batch_api.pause(LAST_POLL)
                continue
            except anthropic.APIStatusError as error:
                if error.status_code < 500:
                    self.store.forget(marker)
                    reason = self.judge.reason(error)
                    refused = JudgeError(f"the API takes no batch: {reason}; {KEPT}")
                    raise self.judge.stop(error) or refused from None
                batch_api.pause(wait(attempt))
            except anthropic.APIConnectionError:
                batch_api.pause(wait(attempt))
            if made := self._find(batch):
                return made
        self.store.forget(marker)
        raise JudgeError(f"the API took no batch in {TRIES} attempts; {KEPT}")

    def _known(self, batch: Batch, batch_id: str) -> Batch:
        """Write down the batch's id, and return the batch with it."""
        self.store.created(batch.marker, batch_id)
        return dataclasses.replace(batch, id=batch_id)

    def _find(self, batch: Batch) -> Batch | None:
        """The batch among those that the API lists, by its marker. None: it was never made."""
        foreign: set[str] = set()  # ids of batches without our marker
        for attempt in range(LOOKS):
            for batch_id in self._candidates(batch):
                if batch_id in foreign:
                    continue
                results = self.api.results(batch_id) if self.api.wait_for(batch_id) else []
                if any(result.custom_id.startswith(f"{batch.marker}-") for result in results):
                    return self._known(batch, batch_id)
                foreign.add(batch_id)
            batch_api.pause(wait(attempt))
        return None

    def _candidates(self, batch: Batch) -> list[str]:
        """Ids of batches that could be this one: made since, of its size, not in the store."""
        known = self.store.batch_ids()
        return [
            batch_id
            for batch_id, size in self.api.listed_since(batch.intended)
            if batch_id not in known and size == len(batch.suites)
        ]

    def _collect(self, batch: Batch) -> None:
        """Wait for a batch and keep the outcome of each of its requests.

        A request without a result is an `error`, or `expired` if the API has deleted the results.
        Raises JudgeError if every request failed, or too many answers in a row hold no grade.
        """
        assert batch.id is not None, "only a batch that the API took can be collected"
        self._tried.update(batch.suites)
        available = self.api.wait_for(batch.id)
        missing = dict(batch.suites)
        reasons: list[str] = []
        answered = 0
        stop: JudgeError | None = None
        keys = {custom_id(batch.marker, key): key for key in batch.suites}
        for entry in self.api.results(batch.id) if available else []:
            key = keys.get(entry.custom_id)
            if key is None or key not in missing:
                continue
            judgment, reason = self._read(entry.result, missing.pop(key))
            if reason is None:
                answered += 1
            elif reason:
                reasons.append(reason)
            stop = self._unusable.note(judgment) or stop
            self._keep(key, judgment, batch)
        for key in missing:
            self._keep(key, Judgment("error" if available else "expired"), batch)
        self.store.finish(batch.marker)
        if reasons and not answered:
            raise JudgeError(
                f"every request of batch {batch.id} failed, first: {reasons[0]}; {KEPT}"
            )
        if stop:
            raise stop

    def _read(self, result: Any, suite: str) -> tuple[Judgment, str | None]:
        """Judgment of one result, and why the API gave none."""
        if result.type == "succeeded":
            return self.judge.read(result.message.to_dict(), suite, batch=True), None
        if result.type == "expired":
            return Judgment("expired"), None
        error = getattr(getattr(result, "error", None), "error", None)
        return Judgment("error"), self.judge.reason(error) if error is not None else result.type

    def _keep(self, key: str, judgment: Judgment, batch: Batch) -> None:
        """Keep one outcome, and count its dollars unless it was kept before."""
        if self.store.add(key, judgment, model=batch.model, rubric=batch.rubric, batch=batch.id):
            self.budget.spent += judgment.cost_usd or 0.0


def custom_id(marker: str, key: str) -> str:
    """A request's id within a batch: the batch's marker and the start of the request's key."""
    return f"{marker}-{key[:KEY_DIGITS]}"
