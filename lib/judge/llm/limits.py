"""Limits of a judging session: dollars, calls in flight, and answers in a row without a grade.

The number of calls in flight changes as TCP's window does (Chiu and Jain 1989): one more after each
full round of answers, half as many when the API asks for fewer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from lib.judge.outcomes import JudgeError, Judgment

SECONDS_BETWEEN_CUTS = 1.0  # rejections within this time halve the limit once
QUOTED = 200  # characters of an unusable answer that an error shows
# After so many answers in a row without a grade, the judge is at fault and not a completion.
UNUSABLE_IN_A_ROW = 20
KEPT = "every answer so far is kept; run again to continue"


@dataclass
class Budget:
    """Dollars spent and reserved, under a cap."""

    cap: float | None  # None: no cap
    spent: float = 0.0
    reserved: float = 0.0  # the most that calls in flight can cost

    def fits(self, at_most: float) -> bool:
        """Whether one more request, which costs at most so much, stays under the cap."""
        return self.cap is None or self.spent + self.reserved + at_most <= self.cap

    def settle(self, at_most: float, cost: float | None) -> None:
        """Replace a call's reserved dollars by its cost. None: a call without a reply."""
        self.reserved = max(0.0, self.reserved - at_most)
        self.spent += cost or 0.0

    def error(self) -> JudgeError:
        """The error that ends a session at its cap."""
        return JudgeError(
            f"judge.max_cost_usd is {self.cap:g} dollars and {self.spent:.4f} are spent; the next "
            f"request could pass it. Raise judge.max_cost_usd; {KEPT}"
        )


@dataclass
class Unusable:
    """Counts answers in a row that hold no grade.

    A refusal or a call without a reply is not counted: it says nothing about the judge.
    """

    outcomes: Counter[str] = field(default_factory=Counter)

    def note(self, judgment: Judgment) -> JudgeError | None:
        """Count one more judgment.

        Returns the error that ends a session after UNUSABLE_IN_A_ROW answers without a grade, with
        no scored one in between; else None.
        """
        if judgment.outcome == "scored":
            self.outcomes.clear()
        if judgment.outcome not in ("parse_error", "truncated"):
            return None
        self.outcomes[judgment.outcome] += 1
        if self.outcomes.total() < UNUSABLE_IN_A_ROW:
            return None
        kinds = ", ".join(f"{n} {outcome}" for outcome, n in self.outcomes.items())
        last = (judgment.said or "")[:QUOTED]
        return JudgeError(
            f"{self.outcomes.total()} answers of the judge in a row hold no grade ({kinds}); the "
            f"last: {last!r}. Every answer so far is kept; use another judge.model, or a larger "
            "answer limit (MAX_TOKENS in lib/judge/llm/prices.py)"
        )


@dataclass
class Gate:
    """Lets a limited number of calls be in flight."""

    most: int
    budget: Budget
    limit: float = 0.0  # calls now allowed; fewer than `most` after the API asked for fewer
    active: int = 0  # calls in flight
    _cut_at: float = -1e9
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    async def enter(self, at_most: float) -> bool:
        """Wait for a place.

        Returns False if the budget has no room although no call is in flight that could free some.
        """
        while self.active >= max(1, int(self.limit)) or not self.budget.fits(at_most):
            if not self.active:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self.active += 1
        self.budget.reserved += at_most
        return True

    def leave(self, at_most: float, cost: float | None) -> None:
        """Give the place back, and count what the call cost."""
        self.active -= 1
        self.budget.settle(at_most, cost)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def answered(self) -> None:
        """Count one more answer: a full round of them opens one more place."""
        self.limit = min(float(self.most), self.limit + 1 / max(1.0, self.limit))

    def pushed_back(self, now: float) -> None:
        """Halve the places after a 429 or 529 at time `now`, in seconds; once for each burst."""
        if now - self._cut_at >= SECONDS_BETWEEN_CUTS:
            self._cut_at = now
            self.limit = max(1.0, self.limit / 2)
