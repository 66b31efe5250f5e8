"""The cost of a judge: prices (params/prices.yaml), and the estimate before the first call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.params import load_prices

MAX_TOKENS = 1024  # limit of an answer with its thinking; the JSON itself takes about 40
ANSWER_TOKENS = 60  # of an answer without thinking, for the estimate
# Characters per token, for the estimate. Newer tokenizers need more tokens than one per four
# characters.
CHARACTERS = 3.2


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens. None if the model's cost is not metered."""

    input: float | None
    output: float | None
    batch: float = 1.0  # the share of the price that the batch interface charges

    def cost(
        self, input_tokens: int | None, output_tokens: int | None, batch: bool
    ) -> float | None:
        """Dollars, or None if a price or a count is missing."""
        if self.input is None or self.output is None:
            return None
        if input_tokens is None or output_tokens is None:
            return None
        in_real_time = (input_tokens * self.input + output_tokens * self.output) / 1e6
        return in_real_time * (self.batch if batch else 1.0)

    def at_most(self, size: int, batch: bool) -> float:
        """The most that a request can cost: a token is at least one byte, the answer has a limit.

        size: bytes that the request sends.
        """
        return self.cost(size, MAX_TOKENS, batch) or 0.0


UNMETERED = Price(None, None)


@dataclass(frozen=True)
class Estimate:
    """What a session is going to send: requests, tokens, dollars by mode (None: not metered)."""

    requests: int
    input_tokens: int
    output_tokens: int
    real_time: float | None
    batch: float | None

    def line(self, date: str) -> str:
        """One line for the person who is going to pay. date: of the price table."""
        counts = (
            f"{self.requests:,} requests to send, about {self.input_tokens:,} tokens in and "
            f"{self.output_tokens:,} out"
        )
        if self.real_time is None:
            return counts
        return (
            f"{counts}: about ${self.real_time:.2f} in real time, ${self.batch:.2f} in batches "
            f"(prices of {date})"
        )


def estimate(characters: Sequence[int], price: Price) -> Estimate:
    """Estimate a session. characters: length of every request to send."""
    input_tokens = round(sum(characters) / CHARACTERS)
    output_tokens = ANSWER_TOKENS * len(characters)
    return Estimate(
        len(characters),
        input_tokens,
        output_tokens,
        real_time=price.cost(input_tokens, output_tokens, batch=False),
        batch=price.cost(input_tokens, output_tokens, batch=True),
    )


def model_facts(model: str) -> tuple[Price, str | None, str]:
    """A model's price, the effort to request (None: no such setting), and the table's date.

    Raises ParamsError for a model without a price.
    """
    from typing import get_args

    from anthropic.types import ModelParam

    table = load_prices()
    known: set[str] = set()
    for literal in get_args(ModelParam):
        known.update(get_args(literal))
    if model in table["models"]:
        entry = table["models"][model]
        price = Price(entry["input"], entry["output"], table["batch"])
        return price, entry["effort"], str(table["date"])
    if model in known:
        raise ParamsError(
            f"judge.model {model!r} has no price; add it to params/prices.yaml before it is paid "
            "for"
        )
    nearest = closest_name(model, [*table["models"], *sorted(known)])
    raise ParamsError(
        f"judge.model {model!r} is unknown; nearest: {nearest!r}; a model newer than the installed "
        "SDK needs its price in params/prices.yaml"
    )
