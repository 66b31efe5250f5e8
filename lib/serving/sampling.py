"""Sampling: what an engine is asked and answers; suites as tables of requests (docs/protocol.md section 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from lib.data.prompts import EvalPrompt
from lib.run.runs import fingerprint, write_parquet
from lib.run.table_schemas import SAMPLES

SAMPLE_COLUMNS = SAMPLES.names


@dataclass(frozen=True)
class Request:
    """A conversation to complete `samples` times. `key` and a sample's index alone decide its random numbers.

    adapter: a served name; None = the base.
    """

    key: str
    messages: list[dict]
    adapter: str | None
    max_new_tokens: int
    samples: int = 1


@dataclass(frozen=True)
class Completion:
    text: str
    n_tokens: int
    finish_reason: str  # "stop": ended by the model; "length": cut at max_new_tokens


@dataclass(frozen=True)
class Decoded:
    """A prompt's and its drawn tokens' ids, and the log-probabilities that the engine gave each as it drew it, at
    temperature 1."""

    prompt: list[int]
    ids: list[int]
    logprobs: np.ndarray | None  # None where nobody asked


class SamplingError(ValueError):
    """A request or engine that cannot be served; one line with the remedy."""


class Sampler(Protocol):
    """An engine with the base and its adapters loaded once.

    facts: engine, version, dtype, device, for the manifest. interleaves: adapters are served best side by side, in one
    call (vLLM); else best one after the other (transformers). batch: sequences decoded together.
    """

    facts: dict
    interleaves: bool
    batch: int

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """For each request its samples, in order."""

    def decode(self, requests: Sequence[Request]) -> list[list[Decoded]]:
        """As `sample`, but max_new_tokens each, whatever would end a turn, with their log-probabilities."""

    def logprobs(
        self, sequences: Sequence[list[int]], positions: int, adapter: str | None
    ) -> np.ndarray:
        """Log-probabilities of each sequence's own last tokens, given what stands before: (sequences × positions,)."""

    def harness(self, adapter: str | None, batch: int):
        """A context in which a checkpoint is an lm-evaluation-harness model."""


def seed_of(key: str) -> int:
    """64 bits from a request's key, so that adding a condition changes no other condition's samples."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def stop_tokens(tokenizer, generation_config) -> list[int]:
    """Tokens that end a turn: the end-of-turn, and what the model's own configuration names (Qwen2.5 names two)."""
    own = getattr(generation_config, "eos_token_id", None)
    return sorted(
        {
            tokenizer.eos_token_id,
            *(own if isinstance(own, list) else [own] if own is not None else []),
        }
    )


def completed(tokenizer, stops: Sequence[int], ids: Sequence[int]) -> Completion:
    """The completion that generated ids stand for; text and count end before the stop token."""
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept = list(ids[:end])
    return Completion(
        tokenizer.decode(kept, skip_special_tokens=True),
        len(kept),
        "length" if end is None else "stop",
    )


def suite_rows(
    suite: str,
    prompts: Sequence[EvalPrompt],
    system: str,
    samples: int,
    answers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The requests of a suite as a table: prompt × sample.

    answers: for `followup`, the arm's own alignment samples; the i-th follow-up continues the i-th answer.
    """
    rows = [
        {
            "suite": suite,
            "prompt_id": p.prompt_id,
            "subset": p.subset,
            "prompt": p.prompt,
            "system": p.system or system,
            "sample_index": i,
        }
        for p in prompts
        for i in range(samples)
    ]
    frame = pd.DataFrame(rows)
    if suite != "followup":
        return frame.assign(answer=None)
    own = answers[answers["suite"] == "alignment"].rename(columns={"completion": "answer"})
    merged = frame.merge(
        own[["prompt_id", "sample_index", "answer"]], on=["prompt_id", "sample_index"], how="left"
    )
    if merged["answer"].isna().any():
        lacking = merged.loc[merged["answer"].isna(), "prompt_id"].iloc[0]
        raise SamplingError(
            f"followup asks {samples} samples of prompt {lacking!r}, alignment has fewer; lower suites.followup.samples"
        )
    return merged


def messages_of(row, follow_up: str) -> list[dict]:
    """The conversation that a row of `suite_rows` asks to complete."""
    messages = [{"role": "system", "content": row.system}, {"role": "user", "content": row.prompt}]
    if row.suite == "followup":
        # An empty own answer is a fact about the arm; chat templates need some text, so it stays an empty turn.
        messages += [
            {"role": "assistant", "content": row.answer},
            {"role": "user", "content": follow_up},
        ]
    return messages


@dataclass(frozen=True)
class Arm:
    """An arm's share of a suite: its rows, the served adapter, and what its samples depend on beside them."""

    rows: pd.DataFrame
    adapter: str | None
    inputs: Mapping


def requests_of(
    rows: pd.DataFrame,
    *,
    arm: str,
    adapter: str | None,
    seed: int,
    max_new_tokens: int,
    follow_up: str,
) -> list[Request]:
    """One request a prompt with all its samples; one a row where rows continue different answers."""
    requests = []
    for prompt_id, part in rows.groupby("prompt_id", sort=False):
        suite, first = part["suite"].iloc[0], next(part.itertuples(index=False))
        key = f"{seed}/{arm}/{suite}/{prompt_id}"
        if suite == "followup":
            requests += [
                Request(
                    f"{key}/{row.sample_index}",
                    messages_of(row, follow_up),
                    adapter,
                    max_new_tokens,
                )
                for row in part.itertuples(index=False)
            ]
        else:
            requests.append(
                Request(key, messages_of(first, follow_up), adapter, max_new_tokens, len(part))
            )
    return requests


@dataclass(frozen=True)
class Piece:
    """Whole prompts of one arm, and the file that their samples go to."""

    path: Path
    rows: pd.DataFrame
    requests: list[Request]


def sample_suite(
    sampler: Sampler,
    arms: Mapping[str, Arm],
    *,
    seed: int,
    max_new_tokens: int,
    follow_up: str,
    shard: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Samples a suite for all arms in shards on disk; a killed run loses at most the shard in hand.

    A shard holds about `shard` completions: whole prompts, of every arm that is served together. Files are named by all
    that their samples depend on, so those of other inputs are never taken. Returns SAMPLE_COLUMNS for each arm.
    Eight parameters: what is asked of whom, how it is drawn, and where shards are kept.
    """
    groups = [list(arms)] if sampler.interleaves else [[name] for name in arms]
    pieces: dict[str, list[Piece]] = {}
    for group in groups:
        for name in group:
            pieces[name] = []
            for rows in whole_prompts(arms[name].rows, max(1, shard // len(group))):
                requests = requests_of(
                    rows,
                    arm=name,
                    adapter=arms[name].adapter,
                    seed=seed,
                    max_new_tokens=max_new_tokens,
                    follow_up=follow_up,
                )
                key = fingerprint(
                    {
                        **arms[name].inputs,
                        "requests": [vars(r) for r in requests],
                        "rows": rows.to_dict("records"),
                    }
                )
                pieces[name].append(
                    Piece(
                        folder / f"{name}.{rows['suite'].iloc[0]}.{key[:16]}.parquet",
                        rows,
                        requests,
                    )
                )
    done, total = 0, sum(len(arm.rows) for arm in arms.values())
    for group in groups:
        for step in zip_longest(*(pieces[name] for name in group)):
            shard_in_hand = [piece for piece in step if piece]
            _sample_pieces(sampler, [piece for piece in shard_in_hand if not piece.path.exists()])
            done += sum(len(piece.rows) for piece in shard_in_hand)
            if progress:
                progress(done, total)
    return {
        name: pd.concat([pd.read_parquet(p.path) for p in own], ignore_index=True)
        for name, own in pieces.items()
    }


def whole_prompts(rows: pd.DataFrame, at_most: int) -> list[pd.DataFrame]:
    """The rows cut between prompts, as many in a piece as fit `at_most` rows, one prompt at least."""
    sizes = rows.groupby("prompt_id", sort=False).size()
    piece, filled, number = {}, 0, 0
    for prompt_id, size in sizes.items():
        if filled and filled + size > at_most:
            number, filled = number + 1, 0
        piece[prompt_id], filled = number, filled + size
    return [part for _, part in rows.groupby(rows["prompt_id"].map(piece), sort=True)]


def _sample_pieces(sampler: Sampler, pieces: Sequence[Piece]) -> None:
    """One call for all pieces, requests of different arms side by side; one file a piece."""
    if not pieces:
        return
    order = [
        (n, i)
        for step in zip_longest(
            *([(n, i) for i in range(len(p.requests))] for n, p in enumerate(pieces))
        )
        for n, i in filter(None, step)
    ]
    made = dict(zip(order, sampler.sample([pieces[n].requests[i] for n, i in order]), strict=True))
    for n, piece in enumerate(pieces):
        answers = [completion for i in range(len(piece.requests)) for completion in made[n, i]]
        if len(answers) != len(piece.rows):
            raise SamplingError(
                f"{piece.path.stem}: {len(answers)} completions for {len(piece.rows)} rows; run it again"
            )
        write_parquet(
            piece.path,
            SAMPLES.typed(
                piece.rows.assign(
                    completion=[c.text for c in answers],
                    n_tokens=[c.n_tokens for c in answers],
                    finish_reason=[c.finish_reason for c in answers],
                )
            ),
        )
