"""Calls in real time, by a fixed number of workers within the limits of `lib.judge.llm.limits`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lib.judge.llm.limits import KEPT, Gate, Unusable
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.protocol import Progress

# After so many calls in a row without an answer, the service is down and no request is at fault.
FAILURES_IN_A_ROW = 50
WAKE = 0.4  # seconds between looks whether all calls have ended


class Unanswered(Exception):
    """A call without a usable reply, after the client's own retries."""


@dataclass(frozen=True)
class Request:
    """One judgment to make."""

    key: str  # of `store.key_of`
    suite: str
    prompt: str
    completion: str
    at_most: float = 0.0  # dollars, the most that it can cost


Call = Callable[[Request], Awaitable[Judgment]]
Keep = Callable[[str, Judgment], object]


async def run(
    requests: Sequence[Request],
    call: Call,
    keep: Keep,
    gate: Gate,
    progress: Progress | None = None,
) -> None:
    """Judge every request.

    If something stops the session, calls in flight are first awaited and kept.

    Args:
        call: raises Unanswered for a call without a reply, JudgeError if no other call can succeed
            either.
        keep: called with key and judgment the moment an answer arrives.

    Raises JudgeError, also if too many answers in a row hold no grade.
    """
    crew = _Crew(iter(requests), len(requests), call, keep, gate, progress)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(gate.most, len(requests))):
            group.create_task(crew.work())
    if crew.trouble:
        raise crew.trouble[0]


@dataclass
class _Crew:
    """What the workers of one session share."""

    left: Iterator[Request]
    total: int
    call: Call
    keep: Keep
    gate: Gate
    progress: Progress | None
    done: int = 0
    failed_in_a_row: int = 0
    trouble: list[JudgeError] = field(default_factory=list)
    unusable: Unusable = field(default_factory=Unusable)

    async def work(self) -> None:
        """Take requests until none is left or any worker has recorded an error in `trouble`."""
        for request in self.left:
            if self.trouble:
                return
            if not await self.gate.enter(request.at_most):
                self.trouble.append(self.gate.budget.error())
                return
            judgment = None
            try:
                if not self.trouble:
                    judgment = await self._ask(request)
            except JudgeError as error:
                self.trouble.append(error)
            finally:
                self.gate.leave(request.at_most, judgment.cost_usd if judgment else None)
            if judgment is None:
                return
            self._take(request, judgment)

    async def _ask(self, request: Request) -> Judgment:
        """The judgment of one call; an `error` if nobody answered it."""
        try:
            judgment = await self.call(request)
        except Unanswered as error:
            self.failed_in_a_row += 1
            if self.failed_in_a_row >= FAILURES_IN_A_ROW:
                failed = f"{self.failed_in_a_row} calls in a row had no answer"
                self.trouble.append(JudgeError(f"{failed}, last: {error}; {KEPT}"))
            return Judgment("error")
        self.failed_in_a_row = 0
        self.gate.answered()
        return judgment

    def _take(self, request: Request, judgment: Judgment) -> None:
        """Keep a judgment and count it."""
        self.keep(request.key, judgment)
        if stop := self.unusable.note(judgment):
            self.trouble.append(stop)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def run_apart(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine to its end in a thread of its own.

    A notebook's kernel has a running loop already, in which no other one can be started.
    """
    inside: dict[str, Any] = {}

    async def outer() -> None:
        inside.update(loop=asyncio.get_running_loop(), task=asyncio.current_task())
        await main()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(lambda: asyncio.run(outer()))
        try:
            # With a limit: a signal that another thread takes does not end a wait without one.
            while not wait([future], timeout=WAKE).done:
                pass
        except KeyboardInterrupt:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                if inside:
                    inside["loop"].call_soon_threadsafe(inside["task"].cancel)
            raise
        future.result()
