"""Calls to the Message Batches API, with retries."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2

from lib.judge.outcomes import JudgeError

if TYPE_CHECKING:
    from lib.judge.llm.claude import ClaudeJudge

FIRST_POLL = 5.0  # seconds after the first poll; the pauses grow
LAST_POLL = 120.0  # seconds, the longest pause
# Attempts at a call that may fail for a moment: a batch that is not found yet, a body that breaks
# off, a lost connection.
TRIES = 8
CLOCKS = timedelta(hours=1)  # how far this clock and the API's may be apart


def pause(seconds: float) -> None:
    """Wait; a function of its own, so that tests need not wait."""
    time.sleep(seconds)


def wait(attempt: int) -> float:
    """Seconds to pause after a number of attempts."""
    return min(LAST_POLL, FIRST_POLL * 1.5**attempt)


class BatchApi:
    """The interface with its retries.

    Args:
        client: the SDK's client.
        judge: decides which errors end a session, and puts them into words.
    """

    def __init__(self, client: anthropic.Anthropic, judge: ClaudeJudge):
        self.client = client
        self.judge = judge

    def create(self, body: Sequence[Any]) -> str:
        """Make a batch; returns its id. Raises what the SDK raises.

        The SDK does not retry: if the reply is lost, a second request could make, and charge, a
        second batch.
        """
        without_retries = self.client.with_options(max_retries=0)
        return without_retries.messages.batches.create(requests=body).id

    def listed_since(self, intended: datetime) -> Iterator[tuple[str, int]]:
        """Id and number of requests of every batch made since a time, newest first.

        Raises JudgeError if the list cannot be read.
        """
        try:
            for listed in self.client.messages.batches.list(limit=100):
                if listed.created_at < intended - CLOCKS:
                    return
                counts = listed.request_counts
                in_progress = counts.processing
                ended = counts.succeeded + counts.errored + counts.canceled + counts.expired
                yield listed.id, in_progress + ended
        except anthropic.APIError as error:
            raise self._unreachable(error, "of one may be unknown") from None

    def wait_for(self, batch_id: str) -> bool:
        """Poll until a batch has ended. Just after its creation the API may not find it.

        Returns whether its results are still there. Raises JudgeError.
        """
        failed = 0
        polls = 0
        while True:
            try:
                batch = self.client.messages.batches.retrieve(batch_id)
                failed = 0
                if batch.processing_status == "ended":
                    return batch.archived_at is None
            except anthropic.APIError as error:
                failed += 1
                if failed == TRIES or self.judge.stop(error):
                    raise self._unreachable(error, batch_id) from None
            pause(wait(polls))
            polls += 1

    def results(self, batch_id: str) -> list[Any]:
        """Every result of a batch that has ended, in any order.

        They are read again if the body breaks off. Raises JudgeError.
        """
        last: Exception | None = None
        for attempt in range(TRIES):
            try:
                return list(self.client.messages.batches.results(batch_id))
            # The last two come from the transport, in the middle of a body.
            except (anthropic.AnthropicError, httpx2.HTTPError, ValueError) as error:
                last = error
                pause(wait(attempt))
        assert last is not None
        raise self._unreachable(last, batch_id)

    def _unreachable(self, error: Exception, batch_id: str) -> JudgeError:
        """The error that ends a session because a batch cannot be seen."""
        return self.judge.stop(error) or JudgeError(
            f"the API does not show batch {batch_id}: {self.judge.reason(error)}; its requests are "
            "on disk, run again to pick it up"
        )
