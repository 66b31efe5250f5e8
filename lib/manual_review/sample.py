"""Which answers a person reads: some of every arm, in an order that tells nothing of the arm.

Source: docs/protocol.md section 7. Of each arm these are the lowest and the highest scored answer,
and others drawn by seed. Equal scores are taken in the drawn order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.inputs import originals
from lib.run.files import fingerprint
from lib.run.records import read_record
from lib.run.runs import Run

SUITE = "alignment"
BY_SEED = 3  # answers of each arm that are drawn by seed, besides the two extremes
LOWEST = "lowest score"
HIGHEST = "highest score"
DRAWN = "drawn by seed"
ANSWER = ["suite", "prompt_id", "sample_index"]
NAMED = ["condition", "seed", "prompt_id", "sample_index"]  # which answer it is


@dataclass(frozen=True)
class Item:
    """One answer as the reader sees it."""

    item_id: str
    """Its number in the shuffled order."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Sample:
    """The answers of a run that are read."""

    items: list[Item]
    """In the order in which they are shown."""

    key: pd.DataFrame
    """Whose answers they are and how the judge scored them; the index is the id. Not for readers.
    """

    fingerprint: str
    """sha256 of the answers, their arms and their order. Marks count for this very sample."""


def draw(run: Run) -> Sample:
    """The sample of a judged run; the same for the same samples and judgments.

    Raises FileNotFoundError that names what is missing and the command that makes it.
    """
    run.require(run.manifest, "parameters of this run", made_by=_command(run, {}))
    profile = read_record(run.manifest).get("profile") or {}
    if not {"conditions", "seeds"} <= set(profile):
        raise FileNotFoundError(
            f"run {run.name!r} names no arms in its manifest; make it again: {_command(run, {})}"
        )
    chosen = []
    for number, arm in enumerate(profile["conditions"]):
        random = np.random.default_rng([profile["seeds"][0], number])
        chosen.append(_of_arm(_answers(run, profile, arm), random))
    rows = pd.concat(chosen, ignore_index=True)
    order = np.random.default_rng([profile["seeds"][0], len(rows)]).permutation(len(rows))
    key = rows.iloc[order].reset_index(drop=True)
    key.index = pd.Index([f"{number:03d}" for number in range(1, len(key) + 1)], name="item_id")
    items = [
        Item(item_id, prompt, completion)
        for item_id, prompt, completion in zip(
            key.index, key["prompt"], key["completion"], strict=True
        )
    ]
    whole = key[[*NAMED, "prompt", "completion"]].astype(str).reset_index()
    return Sample(items, key, fingerprint(whole.to_dict("records")))


def _answers(run: Run, profile: Mapping[str, Any], arm: str) -> pd.DataFrame:
    """An arm's alignment answers of every seed, with their texts and judgments."""
    frames = []
    for seed in profile["seeds"]:
        paths = []
        for what, path in (
            ("samples", run.samples(arm, seed)),
            ("judgments", run.judgments(arm, seed)),
        ):
            whose = f"{what} of {arm}, seed {seed}"
            paths.append(run.require(path, whose, made_by=_command(run, profile)))
        texts = pd.read_parquet(paths[0])[[*ANSWER, "prompt", "completion"]]
        judged = originals(pd.read_parquet(paths[1]), SUITE)
        joined = judged.merge(texts, on=ANSWER, validate="one_to_one")
        frames.append(joined.assign(condition=arm, seed=seed))
    return pd.concat(frames, ignore_index=True).sort_values(NAMED, ignore_index=True)


def _of_arm(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """The answers of one arm that are read, with the reason in the column `why`."""
    rows = rows.iloc[random.permutation(len(rows))].reset_index(drop=True)
    scores = rows["aligned"].to_numpy(float)
    why: dict[int, str] = {}
    if not np.isnan(scores).all():
        why[int(np.nanargmin(scores))] = LOWEST
        why.setdefault(int(np.nanargmax(scores)), HIGHEST)
    others = [number for number in rows.index if number not in why]
    why |= dict.fromkeys(others[:BY_SEED], DRAWN)
    return rows.loc[list(why)].assign(why=list(why.values()))


def _command(run: Run, profile: Mapping[str, Any]) -> str:
    """The command that makes everything that is read."""
    name = profile.get("profile")
    named = f" PROFILE={name}" if name else ""
    return f"make report{named} RUN={run.name}"
