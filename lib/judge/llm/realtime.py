"""Calls in real time: a fixed crew of workers, a limit that follows the API's mood, and a cap in dollars.

The limit moves as TCP's window does (Chiu and Jain 1989): up by one for each full round of answers, down by half when the
API says that it is too much.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lib.judge.outcomes import JudgeError, Judgment

FAILURES_IN_A_ROW = 50  # calls that nobody answered, one after the other: the service is down, not a request at fault
SECONDS_BETWEEN_CUTS = 1.0  # a burst of rejections is one message
QUOTED = 200  # signs of an unusable answer that an error shows
UNUSABLE_IN_A_ROW = (
    20  # answers without a grade, one after the other: the judge is at fault, not a completion
)
KEPT = "every answer so far is kept; run again to go on"


class Unanswered(Exception):
    """A call that brought no usable reply after the client's own retries."""


@dataclass(frozen=True)
class Request:
    """One judgment to make; `at_most` is the most that it can cost, in dollars."""

    key: str
    suite: str
    prompt: str
    completion: str
    at_most: float = 0.0


@dataclass
class Budget:
    """Dollars spent and set aside under a cap; None: no cap."""

    cap: float | None
    spent: float = 0.0
    reserved: float = 0.0

    def fits(self, at_most: float) -> bool:
        return self.cap is None or self.spent + self.reserved + at_most <= self.cap

    def settle(self, at_most: float, cost: float | None) -> None:
        """Replaces what was set aside by what the API metered; a call without a reply has nothing to count."""
        self.reserved = max(0.0, self.reserved - at_most)
        self.spent += cost or 0.0

    def error(self) -> JudgeError:
        return JudgeError(
            f"judge.max_cost_usd is {self.cap:g} dollars and {self.spent:.4f} are spent; the next request could "
            f"pass it. Raise judge.max_cost_usd; {KEPT}"
        )


@dataclass
class Unusable:
    """Answers in a row that hold no grade. A refusal of one text says nothing of the judge, nor does a call without a reply."""

    outcomes: Counter = field(default_factory=Counter)

    def note(self, judgment: Judgment) -> JudgeError | None:
        """The error that ends a session, once UNUSABLE_IN_A_ROW answers could not be read and none in between could."""
        if judgment.outcome == "scored":
            self.outcomes.clear()
        if judgment.outcome not in ("parse_error", "truncated"):
            return None
        self.outcomes[judgment.outcome] += 1
        if self.outcomes.total() < UNUSABLE_IN_A_ROW:
            return None
        kinds = ", ".join(f"{n} {outcome}" for outcome, n in self.outcomes.items())
        return JudgeError(
            f"{self.outcomes.total()} answers of the judge in a row hold no grade ({kinds}); the last: "
            f"{(judgment.said or '')[:QUOTED]!r}. Every answer so far is kept; use another judge.model, or a "
            "larger answer limit (MAX_TOKENS in lib/judge/llm/prices.py, ANSWER in lib/judge/llm/in_process.py)"
        )


@dataclass
class Gate:
    """How many calls may be in flight now: at most `most`, fewer while the API pushes back or the budget is tight."""

    most: int
    budget: Budget
    limit: float = 0.0
    active: int = 0
    _cut_at: float = -1e9
    _waiting: list[asyncio.Future] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    async def enter(self, at_most: float) -> bool:
        """Waits for a place; False when the budget has none left, although nothing is in flight that could free some."""
        while self.active >= max(1, int(self.limit)) or not self.budget.fits(at_most):
            if not self.active:
                return False
            self._waiting.append(waiter := asyncio.get_running_loop().create_future())
            await waiter
        self.active += 1
        self.budget.reserved += at_most
        return True

    def leave(self, at_most: float, cost: float | None) -> None:
        """Gives the place back, and settles what the call cost."""
        self.active -= 1
        self.budget.settle(at_most, cost)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def answered(self) -> None:
        """One more answer: a full round of them opens one more place."""
        self.limit = min(float(self.most), self.limit + 1 / max(1.0, self.limit))

    def pushed_back(self, now: float) -> None:
        """429 or 529 at time `now`, seconds: half the places, once for each burst."""
        if now - self._cut_at >= SECONDS_BETWEEN_CUTS:
            self._cut_at, self.limit = now, max(1.0, self.limit / 2)


async def run(
    requests: Sequence[Request],
    call: Callable[[Request], Awaitable[Judgment]],
    keep: Callable[[str, Judgment], object],
    gate: Gate,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Judges every request; `keep` is called the moment an answer arrives.

    call: raises Unanswered for a call without a reply, JudgeError where no other call can succeed either. Whatever stops
    the session, calls in flight are awaited and kept first. Raises JudgeError, also where no answer holds a grade.
    """
    todo, total, done, failed, trouble = iter(requests), len(requests), 0, 0, []
    unusable = Unusable()

    async def work() -> None:
        nonlocal done, failed
        for request in todo:
            if trouble:
                return
            if not await gate.enter(request.at_most):
                trouble.append(gate.budget.error())
                return
            judgment = None
            try:
                if trouble:
                    return
                judgment = await call(request)
                failed = 0
                gate.answered()
            except Unanswered as error:
                judgment, failed = Judgment("error"), failed + 1
                if failed >= FAILURES_IN_A_ROW:
                    trouble.append(
                        JudgeError(f"{failed} calls in a row had no answer, last: {error}; {KEPT}")
                    )
            except JudgeError as error:
                trouble.append(error)
                return
            finally:
                gate.leave(request.at_most, judgment.cost_usd if judgment else None)
            keep(request.key, judgment)
            if stop := unusable.note(judgment):
                trouble.append(stop)
            done += 1
            if progress is not None:
                progress(done, total)

    async with asyncio.TaskGroup() as crew:
        for _ in range(min(gate.most, total)):
            crew.create_task(work())
    if trouble:
        raise trouble[0]


def run_apart(main: Callable[[], Awaitable[None]]) -> None:
    """Runs a coroutine to its end in a thread of its own, since a notebook's kernel has a running loop already."""
    inside: dict = {}

    async def outer() -> None:
        inside.update(loop=asyncio.get_running_loop(), task=asyncio.current_task())
        await main()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(lambda: asyncio.run(outer()))
        try:
            future.result()
        except KeyboardInterrupt:
            if inside:
                inside["loop"].call_soon_threadsafe(inside["task"].cancel)
            raise
