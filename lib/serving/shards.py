"""Sample a suite for all arms in shards on disk, so that a killed run loses at most one shard.

docs/protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from lib.data.elicitation import Caller
from lib.run.files import fingerprint, write_parquet
from lib.run.records import SEAL
from lib.run.table_schemas import SAMPLES
from lib.serving.sampling import Completion, Request, Sampler, SamplingError
from lib.serving.suites import requests_of

SAMPLE_COLUMNS = SAMPLES.names


@dataclass(frozen=True)
class Arm:
    """An arm's share of a suite."""

    rows: pd.DataFrame
    """Its requests, as `suites.suite_rows` makes them."""

    adapter: str | None
    """The served adapter; None = the base."""

    inputs: Mapping[str, Any]
    """What its samples depend on besides the requests, for the names of the shards."""


@dataclass(frozen=True)
class Shard:
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
    caller: Caller | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Sample a suite for all arms. What is on disk already is not sampled again.

    A file's name has the fingerprint of everything that its samples depend on, so a file of other
    inputs is never read.
    Nine parameters: what is asked of whom, how it is drawn, and where shards are kept.

    Args:
        shard: completions that are sampled together, about: whole prompts, of every arm that is
            served together.
        folder: where the shards are kept.
        caller: calls up the persona of rows that have an elicitation.
        progress: called with (rows done, rows in all).

    Returns each arm's samples, with SAMPLE_COLUMNS.
    """
    groups = [list(arms)] if sampler.interleaves else [[name] for name in arms]
    shards: dict[str, list[Shard]] = {}
    for group in groups:
        for name in group:
            shards[name] = _shards(
                name,
                arms[name],
                folder,
                max(1, shard // len(group)),
                seed=seed,
                max_new_tokens=max_new_tokens,
                follow_up=follow_up,
                caller=caller,
            )
    done = 0
    total = sum(len(arm.rows) for arm in arms.values())
    for group in groups:
        for step in zip_longest(*(shards[name] for name in group)):
            in_hand = [one for one in step if one]
            _sample_shards(sampler, [one for one in in_hand if not _kept(one)])
            done += sum(len(one.rows) for one in in_hand)
            if progress:
                progress(done, total)
    return {name: _read(of_arm) for name, of_arm in shards.items()}


def whole_prompts(rows: pd.DataFrame, at_most: int) -> list[pd.DataFrame]:
    """The rows split between prompts, each part of `at_most` rows, or of one prompt at least."""
    sizes = rows.groupby("prompt_id", sort=False).size()
    part_of = {}
    filled = 0
    number = 0
    for prompt_id, size in sizes.items():
        if filled and filled + size > at_most:
            number += 1
            filled = 0
        part_of[prompt_id] = number
        filled += size
    return [part for _, part in rows.groupby(rows["prompt_id"].map(part_of), sort=True)]


def _shards(name: str, arm: Arm, folder: Path, at_most: int, **asked) -> list[Shard]:
    """An arm's rows in shards of `at_most` rows.

    asked: seed, max_new_tokens, follow_up and caller, as `requests_of` takes them.
    """
    shards = []
    for rows in whole_prompts(arm.rows, at_most):
        requests = requests_of(rows, arm=name, adapter=arm.adapter, **asked)
        key = fingerprint(
            {
                **arm.inputs,
                "requests": [request.identity() for request in requests],
                # The requests say how a persona was called up.
                "rows": rows.drop(columns="elicitation").to_dict("records"),
            }
        )
        path = folder / f"{name}.{rows['suite'].iloc[0]}.{key[:16]}.parquet"
        shards.append(Shard(path, rows, requests))
    return shards


def _kept(shard: Shard) -> bool:
    """Whether a shard's samples are on disk as they were written."""
    if not shard.path.exists():
        return False
    try:
        frame = pd.read_parquet(shard.path)
    except (OSError, ValueError):  # cut off
        return False
    seal = frame.attrs.get(SEAL)  # a shard of an earlier version has none
    return len(frame) == len(shard.rows) and seal in (None, _content(frame))


def _content(frame: pd.DataFrame) -> str:
    """Fingerprint of a table's rows."""
    return fingerprint(pd.util.hash_pandas_object(frame, index=False).tolist())


def _sample_shards(sampler: Sampler, shards: Sequence[Shard]) -> None:
    """Sample all shards in one call, requests of different arms side by side; one file each."""
    if not shards:
        return
    places = []  # for each shard: (its number, a request's index)
    for number, shard in enumerate(shards):
        places.append([(number, index) for index in range(len(shard.requests))])
    order: list[tuple[int, int]] = []
    for step in zip_longest(*places):
        order += [place for place in step if place]
    samples = sampler.sample([shards[number].requests[index] for number, index in order])
    samples_of = dict(zip(order, samples, strict=True))
    for of_shard, shard in zip(places, shards, strict=True):
        completions: list[Completion] = []
        for place in of_shard:
            completions += samples_of[place]
        _write(shard, completions)


def _write(shard: Shard, completions: Sequence[Completion]) -> None:
    """Write a shard's samples. Raises SamplingError unless each row has one."""
    if len(completions) != len(shard.rows):
        raise SamplingError(
            f"{shard.path.stem}: {len(completions)} completions for {len(shard.rows)} rows; run it "
            "again"
        )
    frame = shard.rows.assign(
        completion=[one.text for one in completions],
        n_tokens=[one.n_tokens for one in completions],
        finish_reason=[one.finish_reason for one in completions],
    )
    table = SAMPLES.typed(frame)
    table.attrs = {SEAL: _content(table)}  # parquet keeps it beside the rows
    write_parquet(shard.path, table)


def _read(shards: Sequence[Shard]) -> pd.DataFrame:
    """The samples of all shards.

    Shards of earlier versions have no elicitation, so that column is taken from the rows.
    """
    frames = []
    for shard in shards:
        frame = pd.read_parquet(shard.path)
        frame.attrs = {}
        frames.append(SAMPLES.typed(frame.assign(elicitation=shard.rows["elicitation"].array)))
    return pd.concat(frames, ignore_index=True)
