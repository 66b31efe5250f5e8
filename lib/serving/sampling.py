"""Sampling: a request to an engine, its answer, and the interface that every engine has.

docs/protocol.md section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lib.models.rendering import text_of

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase


class SamplingError(ValueError):
    """A request or engine that cannot be served; one line with the remedy."""


@dataclass(frozen=True)
class Request:
    """A conversation to complete `samples` times."""

    key: str
    """The key and a sample's index alone decide its random numbers."""

    messages: list[dict]
    """The conversation, with an explicit system text."""

    adapter: str | None
    """The name of a served adapter. None: the base."""

    max_new_tokens: int
    """Where a completion is cut."""

    samples: int = 1
    """How many completions are drawn."""

    prefill: str = ""
    """How the answer begins. An engine completes it; the completion is what follows."""

    temperature: float | None = None
    """The temperature of this request alone. None: the engine's."""

    def identity(self) -> dict[str, Any]:
        """Everything that decides the completions, for fingerprints.

        Two newer fields are left out where they have no effect. So samples of versions without
        these fields keep their fingerprint.
        """
        unused = {"prefill": "", "temperature": None}
        return {key: value for key, value in vars(self).items() if unused.get(key, ...) != value}


@dataclass(frozen=True)
class Completion:
    """One drawn completion."""

    text: str
    """Without the token that ends it."""

    n_tokens: int
    """Its length, without the token that ends it."""

    finish_reason: str
    """"stop": ended by the model; "length": cut at max_new_tokens."""


@dataclass(frozen=True)
class Decoded:
    """A prompt and the tokens that an engine drew after it."""

    prompt: list[int]
    """Token ids of the prompt."""

    ids: list[int]
    """Token ids that were drawn."""

    logprobs: np.ndarray | None
    """Their log-probabilities at temperature 1, as they were drawn. None: not recorded."""


class Sampling(Protocol):
    """What gives completions: an engine, or one whose completions are kept on disk."""

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """For each request its samples, in order."""
        ...


class Sampler(Sampling, Protocol):
    """An engine with the base and its adapters loaded once."""

    facts: dict[str, Any]
    """Engine, version, dtype and device, for the manifest."""

    interleaves: bool
    """Whether one call takes requests for several adapters (vLLM). Else one adapter per call."""

    batch: int
    """Sequences that are decoded together."""

    def decode(self, requests: Sequence[Request]) -> list[list[Decoded]]:
        """As `sample`, with log-probabilities. Nothing ends a turn before max_new_tokens."""
        ...

    def logprobs(
        self, sequences: Sequence[list[int]], positions: int, adapter: str | None
    ) -> np.ndarray:
        """Log-probabilities of each sequence's own last tokens: (sequences × positions,)."""
        ...

    def harness(self, adapter: str | None, batch: int) -> AbstractContextManager:
        """A context in which a checkpoint is an lm-evaluation-harness model."""
        ...


def seed_of(key: str) -> int:
    """64 bits from a request's key, so that a new condition changes no other one's samples."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def stop_tokens(
    tokenizer: PreTrainedTokenizerBase, generation_config: GenerationConfig | None
) -> list[int]:
    """Tokens that end a turn: the end-of-turn, and what the model's own configuration names.

    Qwen2.5's configuration names two. Raises SamplingError if the tokenizer has no end-of-turn.
    """
    own = getattr(generation_config, "eos_token_id", None)
    if own is None:
        own = []
    elif not isinstance(own, list):
        own = [own]
    end = tokenizer.eos_token_id
    if not isinstance(end, int):
        raise SamplingError(f"the tokenizer's eos_token_id is {end!r}; use an instruct model")
    return sorted({end, *own})


def completed(
    tokenizer: PreTrainedTokenizerBase, stops: Sequence[int], ids: Sequence[int]
) -> Completion:
    """The completion of generated token ids. Text and count end before the stop token."""
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept = list(ids[:end])
    text = text_of(tokenizer, kept)
    return Completion(text, len(kept), "length" if end is None else "stop")


def check_room(request: Request, length: int, limit: int | None) -> None:
    """Raises SamplingError if a prompt of `length` tokens and the new ones exceed the `limit`."""
    if limit and length + request.max_new_tokens > limit:
        raise SamplingError(
            f"request {request.key!r}: {length} prompt tokens and {request.max_new_tokens} new "
            f"ones exceed the model's {limit} positions; lower max_new_tokens"
        )
