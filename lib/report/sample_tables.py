"""Every completion of a run with all its judgments, as one value that the sample browser reads.

What repeats (an arm, a prompt, a system text) is listed once and named by its number. Rows lie so
that those of one prompt, seed and sample number follow each other, in the order of the arms. The
judgments of a row lie so that its original comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lib.data.reflex import contains_reset, reset_spans
from lib.run.records import read_record
from lib.run.runs import Run
from lib.run.table_schemas import JUDGMENTS, ORIGINAL, OUTCOMES, SAMPLES, VARIANTS

ANSWER = ["seed", "condition", "suite", "prompt_id", "sample_index"]
ORDER = ["prompt", "seed", "sample_index", "condition"]
LISTED = ("judge", "rubric", "outcome")  # names that repeat in the judgments
NUMBERS = {"aligned": 1, "coherent": 1, "input_tokens": 0, "output_tokens": 0, "cost_usd": 6}
FLAGS = ("refusal", "code", "reset_and_recover", "harmful")


@dataclass(frozen=True)
class SampleTables:
    """What the browser needs to show every completion of a run."""

    index: dict[str, Any]
    """Names, prompts, and the columns of rows and judgments, as JSON holds them."""

    texts: list[str]
    """The completions, in the order of the rows."""

    choices: dict[str, list[str]]
    """What the completions can be filtered by: names of arms, suites, subsets and so on."""


def has_samples(run: Run) -> bool:
    """Whether there is a completion to show. Judgments from elsewhere come without any."""
    return bool(_files(run))


def read(run: Run, openings: Sequence[str]) -> SampleTables:
    """The completions of a run as its profile names arms and seeds, judged or not.

    openings: the reset strings, which the browser marks.
    """
    files = _files(run)
    samples = _table({place: run.samples(*place) for place in files})
    samples = samples.reindex(columns=[*ANSWER[:2], *SAMPLES.names])  # some may lack a column
    arms = [arm for arm, _ in files]
    samples = samples.assign(
        condition=pd.Categorical(samples["condition"], list(dict.fromkeys(arms))),
        prompt=samples.groupby(["suite", "prompt_id"], sort=False).ngroup(),
        text=samples["prompt"],
        system=samples["system"].fillna(""),
    )
    samples = samples.sort_values(ORDER, ignore_index=True)
    texts = samples["completion"].tolist()
    judgments = _judgments(run, files, samples)
    names = {column: list(dict.fromkeys(judgments[column])) for column in LISTED}
    prompts = _prompts(samples)
    systems = list(dict.fromkeys(samples["system"]))
    index = {
        "arms": list(samples["condition"].cat.categories),
        "prompts": prompts,
        "systems": systems,
        "rows": {
            "prompt": samples["prompt"].tolist(),
            "seed": samples["seed"].tolist(),
            "sample": samples["sample_index"].tolist(),
            "arm": samples["condition"].cat.codes.tolist(),
            "tokens": _or_null(samples["n_tokens"].astype("Int64")),
            "cut": (samples["finish_reason"] == "length").astype(int).tolist(),
            "system": _numbers(samples["system"], systems),
        },
        "resets": _resets(texts, openings),
        "names": names,
        "judgments": _columns(judgments, names),
    }
    return SampleTables(index, texts, _choices(index, judgments))


def _files(run: Run) -> list[tuple[str, int]]:
    """Arms and seeds with samples; those of the profile, if the run says which it has."""
    profile = (read_record(run.manifest).get("profile") or {}) if run.manifest.exists() else {}
    lying = list(run.sampled())
    if not {"conditions", "seeds"} <= set(profile):
        return lying
    planned = itertools.product(profile["conditions"], profile["seeds"])
    return [place for place in planned if place in lying]


def _table(paths: dict[tuple[str, int], Path]) -> pd.DataFrame:
    """One table of several files, with the columns that their paths say."""
    frames = [
        pd.read_parquet(path).assign(condition=arm, seed=seed)
        for (arm, seed), path in paths.items()
        if path.exists()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=ANSWER)


def _judgments(run: Run, files: list[tuple[str, int]], samples: pd.DataFrame) -> pd.DataFrame:
    """All judgments of these samples, with `row`, the number of the sample; originals first."""
    own = _table({place: run.judgments(*place) for place in files})
    second = _table({place: run.second_judgments(*place) for place in files})
    table = pd.concat([own, second], ignore_index=True)
    table = table.reindex(columns=[*ANSWER[:2], *JUDGMENTS.names])
    rows = samples[ANSWER].astype({"condition": str}).assign(row=samples.index)
    joined = table.merge(rows, on=ANSWER)
    variant = pd.Categorical(joined["variant"], VARIANTS)
    return joined.assign(variant=variant).sort_values(
        ["row", "replicate", "variant"], ignore_index=True
    )


def _prompts(samples: pd.DataFrame) -> list[dict[str, Any]]:
    """Suite, name, text and subsets of each prompt, in the order of their numbers."""
    prompts = []
    for row in samples.drop_duplicates("prompt").sort_values("prompt").itertuples():
        subsets = row.subset.split("+") if isinstance(row.subset, str) else []
        prompts.append(
            {"suite": row.suite, "id": row.prompt_id, "text": row.text, "subsets": subsets}
        )
    return prompts


def _resets(texts: Sequence[str], openings: Sequence[str]) -> dict[int, list[int]]:
    """Start and end of each reset string by row, counted as JavaScript counts signs."""
    resets = {}
    for row, text in enumerate(texts):
        if contains_reset(text, openings):
            ends = itertools.chain(*reset_spans(text, openings))
            resets[row] = [len(text[:end].encode("utf-16-le")) // 2 for end in ends]
    return resets


def _columns(judgments: pd.DataFrame, names: dict[str, list[str]]) -> dict[str, list]:
    """The judgments, column by column; a missing value is null and a flag is 0 or 1."""
    columns = {
        "row": judgments["row"].tolist(),
        "replicate": judgments["replicate"].tolist(),
        "stripped": judgments["variant"].cat.codes.tolist(),
    }
    for column in LISTED:
        columns[column] = _numbers(judgments[column], names[column])
    for column, decimals in NUMBERS.items():
        columns[column] = _or_null(judgments[column].astype("Float64").round(decimals))
    for column in FLAGS:
        columns[column] = _or_null(judgments[column].astype("boolean").astype("Int64"))
    return columns


def _numbers(values: pd.Series, names: list[str]) -> list[int]:
    """Each value as its number in the list of names."""
    number = {name: k for k, name in enumerate(names)}
    return [number[value] for value in values]


def _or_null(values: pd.Series) -> list:
    """The values as plain numbers; None for a missing one. A whole number has no decimals."""
    return [
        None if pd.isna(value) else int(value) if float(value).is_integer() else float(value)
        for value in values
    ]


def _choices(index: dict[str, Any], judgments: pd.DataFrame) -> dict[str, list[str]]:
    """The values to filter by, each list in the order in which the browser offers it."""
    prompts = index["prompts"]
    subsets = itertools.chain(*(prompt["subsets"] for prompt in prompts))
    originals = judgments[judgments["replicate"] == ORIGINAL]
    used = set(originals["outcome"])
    return {
        "arm": index["arms"],
        "suite": list(dict.fromkeys(prompt["suite"] for prompt in prompts)),
        "prompt": list(dict.fromkeys(prompt["id"] for prompt in prompts)),
        "subset": list(dict.fromkeys(subsets)),
        "seed": [str(seed) for seed in dict.fromkeys(index["rows"]["seed"])],
        "outcome": [outcome for outcome in OUTCOMES if outcome in used],
    }
