"""What a judge costs: the price table, the estimate before the first call, and the cap (params/prices.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from lib.config.params import ParamsError, closest_name, load_prices

MAX_TOKENS = 1024  # of an answer, thinking included; the JSON itself takes about 40
ANSWER_TOKENS = (
    60  # what an answer takes, for the estimate; what a model thinks before it comes on top
)
CHARACTERS = 3.2  # a token, for the estimate; the newer tokenizers cut text into shorter pieces than four characters


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens; `batch` is the share that the batch interface charges. None: nobody meters it."""

    input: float | None
    output: float | None
    batch: float = 1.0

    def cost(
        self, input_tokens: int | None, output_tokens: int | None, batch: bool
    ) -> float | None:
        """Dollars, or None where a price or a count is missing."""
        if (
            self.input is None
            or self.output is None
            or input_tokens is None
            or output_tokens is None
        ):
            return None
        return (
            (input_tokens * self.input + output_tokens * self.output)
            / 1e6
            * (self.batch if batch else 1.0)
        )

    def at_most(self, size: int, batch: bool) -> float:
        """The most that a request of `size` bytes can cost: a token is a byte or longer, and the answer has a limit."""
        return self.cost(size, MAX_TOKENS, batch) or 0.0


UNMETERED = Price(None, None)


@dataclass(frozen=True)
class Estimate:
    """What a session is going to send: requests, tokens, and dollars by mode, None where nobody meters."""

    requests: int
    input_tokens: int
    output_tokens: int
    real_time: float | None
    batch: float | None

    def line(self, date: str) -> str:
        """One line for the person who is about to pay."""
        counts = f"{self.requests:,} requests to send, about {self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        if self.real_time is None:
            return counts
        return f"{counts}: about ${self.real_time:.2f} in real time, ${self.batch:.2f} in batches (prices of {date})"


def estimate(characters: list[int], price: Price) -> Estimate:
    """From the length in characters of every request that is to be sent."""
    read, written = round(sum(characters) / CHARACTERS), ANSWER_TOKENS * len(characters)
    return Estimate(
        len(characters),
        read,
        written,
        price.cost(read, written, False),
        price.cost(read, written, True),
    )


def model_facts(model: str) -> tuple[Price, str | None, str]:
    """Price of a model, the effort to ask of it, and the table's date. Raises ParamsError for a model without a price."""
    from typing import get_args

    from anthropic.types import ModelParam

    table = load_prices()
    known = {name for part in get_args(ModelParam) for name in get_args(part)}
    if model in table["models"]:
        entry = table["models"][model]
        return (
            Price(entry["input"], entry["output"], table["batch"]),
            entry["effort"],
            str(table["date"]),
        )
    if model in known:
        raise ParamsError(
            f"judge.model {model!r} has no price; add it to params/prices.yaml before it is paid for"
        )
    nearest = closest_name(model, [*table["models"], *sorted(known)])
    raise ParamsError(
        f"judge.model {model!r} is unknown; nearest: {nearest!r}; a model newer than the installed SDK needs its "
        "price in params/prices.yaml"
    )
