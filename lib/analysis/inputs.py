"""The tables that the statistics read: their schema, and means by prompt (docs/protocol.md sections 5 and 6).

Every check fails closed: a row that breaks the schema is an error that names it, never a row quietly left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lib.data import columns
from lib.data.columns import SchemaError
from lib.run.table_schemas import (
    CONDITION,
    FULL,
    JUDGED_AGAIN,
    JUDGMENTS,
    ORIGINAL,
    SEED,
    STRIPPED,
    Column,
    Table,
)

__all__ = [
    "SchemaError",
    "as_originals",
    "is_original",
    "judged_again",
    "originals",
    "prompt_means",
    "prompt_rows",
    "published_judgments",
    "published_scores",
    "stripped",
    "subset_labels",
    "validate_capability",
    "validate_judgments",
]

KEYS = ["suite", "condition", "seed", "prompt_id", "sample_index", "replicate", "variant"]
CELL = ["condition", "seed", "prompt_id"]
SCORES = ("aligned", "coherent")
OPTIONAL_FLAGS = (
    "code",
)  # a table from elsewhere may have no such column; no answer then counts as code
FLAGS = tuple(column.name for column in JUDGMENTS.columns if column.kind == "flag")
NO_SCORE_NEEDED = ("refusal", "code")  # what an answer is that published judges give no score
COMPLETION_FLAGS = (
    "literal",
    "parrot",
)  # joined from completions: they do not depend on the judge's outcome
WITH_PATH = Table("judgments", (SEED, CONDITION, *JUDGMENTS.columns))  # of several files
JUDGMENT_COLUMNS = (
    *KEYS,
    "subset",
    "outcome",
    *SCORES,
    *(flag for flag in FLAGS if flag not in OPTIONAL_FLAGS),
)
CAPABILITY_COLUMNS = ("seed", "condition", "acc", "acc_stderr", "acc_norm", "n")
# What a scored row of a suite must hold; the other suites are descriptive and use what is there.
REQUIRED = {"alignment": SCORES, "benign": ("harmful",)}
DECIMALS = (
    9  # docs/protocol.md section 6: comparisons with thresholds are made after rounding to 1e-9
)


def validate_judgments(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The judgments in canonical form: sorted by key, text as categories, scores and flags as floats (flags 0/1).

    frame: one row a judgment; name: the file or table that an error should name. Missing values are NaN. The column
    `code` is optional and NaN where the table has none; `literal` and `parrot` are optional. A scored alignment row has
    `aligned` and `coherent`, unless it is a refusal or code, which published judges give no score. Raises SchemaError.
    """
    if frame.empty:
        frame = WITH_PATH.empty()
    columns.require(frame, JUDGMENT_COLUMNS, name)
    for optional in (*OPTIONAL_FLAGS, *COMPLETION_FLAGS):
        if optional not in frame and columns.lookalike(optional, frame.columns) is not None:
            columns.require(frame, [optional], name)
    table = exact_keys(frame, name)
    for column in ("variant", "outcome", "subset", *SCORES, *FLAGS):
        absent = column in OPTIONAL_FLAGS and column not in frame
        if absent:
            table[column] = np.full(len(frame), np.nan)
        else:
            table[column] = _checked(frame, JUDGMENTS.column(column), name)
    table |= {
        column: columns.flag(frame, column, name) for column in COMPLETION_FLAGS if column in frame
    }
    canonical = pd.DataFrame(table)
    _check_outcomes(canonical, name)
    columns.unique(canonical, KEYS, name, "keep one judge and one judgment a completion")
    return canonical.sort_values(KEYS, ignore_index=True)


def _checked(frame: pd.DataFrame, column: Column, name: str) -> Any:
    """A column's values, each of the kind that the schema says. Raises SchemaError."""
    if column.kind == "choice":
        return columns.text(frame, column.name, name, list(column.choices))
    if column.kind == "text" and column.nullable:
        return columns.optional_text(frame, column.name, name)
    if column.kind == "text":
        return columns.text(frame, column.name, name)
    if column.kind == "count":
        return columns.whole(frame, column.name, name)
    if column.kind == "number":
        return columns.number(frame, column.name, name, column.highest)
    return columns.flag(frame, column.name, name)


def exact_keys(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """The key columns but `variant`: names as text, counts as exact whole numbers. Raises SchemaError."""
    texts = (CONDITION, JUDGMENTS.column("suite"), JUDGMENTS.column("prompt_id"))
    counts = (SEED, JUDGMENTS.column("sample_index"), JUDGMENTS.column("replicate"))
    return {column.name: _checked(frame, column, name) for column in (*texts, *counts)}


def validate_capability(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The capability results in canonical form: shares 0-1 as floats, one row a seed and condition.

    Raises SchemaError; a missing accuracy stays NaN.
    """
    if frame.empty:
        frame = pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    columns.require(frame, CAPABILITY_COLUMNS, name)
    table: dict[str, Any] = {"condition": columns.text(frame, "condition", name)}
    table["seed"] = columns.whole(frame, "seed", name)
    hint = "; an accuracy is a share, divide percent by 100"
    table |= {
        column: columns.number(frame, column, name, 1.0, hint)
        for column in ("acc", "acc_stderr", "acc_norm")
    }
    table["n"] = columns.number(frame, "n", name, np.inf)
    if "items" in frame:  # optional: per-item results, for paired comparison
        _check_items(frame, name)
        table["items"] = frame["items"].to_numpy()
    canonical = pd.DataFrame(table)
    columns.unique(canonical, ["condition", "seed"], name, "keep one result a checkpoint")
    return canonical.sort_values(["condition", "seed"], ignore_index=True)


def published_scores(aligned: pd.Series, coherent: pd.Series) -> pd.DataFrame:
    """Scores of a published table as columns of a judgments table: outcome, aligned, coherent, refusal, code.

    aligned, coherent: numbers 0-100, or what published judges write in their place. An explicit CODE or REFUSAL becomes
    the flag, is scored, and has no `aligned`. A blank, NaN or None is a missing score (outcome `parse_error`), never a
    refusal. Raises SchemaError on anything else, naming its row.
    """
    frame = pd.DataFrame(
        {"aligned": aligned.reset_index(drop=True), "coherent": coherent.reset_index(drop=True)}
    )
    words = frame.map(lambda value: str(value).strip().upper())
    flags = {flag: words.eq(flag.upper()).any(axis=1) for flag in NO_SCORE_NEEDED}
    gaps = frame.isna() | words.isin([*_MISSING_WORDS, *(flag.upper() for flag in NO_SCORE_NEEDED)])
    numbers = frame.mask(gaps).map(_parsed)
    scores = pd.DataFrame(
        {column: columns.number(numbers, column, "published table", 100.0) for column in SCORES}
    )
    flagged = flags["refusal"] | flags["code"]
    scored = flagged | scores.notna().all(axis=1)
    table = scores.where(scored).assign(
        **{flag: given.astype("boolean").where(scored) for flag, given in flags.items()}
    )
    table["outcome"] = np.where(scored, "scored", "parse_error")
    return table.set_index(aligned.index)


def published_judgments(
    rows: pd.DataFrame, *, judge: str, rubric: str = "not named"
) -> pd.DataFrame:
    """One arm of a published table as a judgments table, to be saved as `DIR/seed<k>/<condition>.parquet`.

    rows: prompt_id, aligned and coherent as published, and suite where it is not `alignment`; one row an answer, each of
    which gets a sample index of its own. What such a table does not hold (harmful, reset_and_recover) is missing.
    """
    columns.require(rows, ("prompt_id", *SCORES), "published table")
    rows = rows.reset_index(drop=True)
    key = pd.DataFrame({"suite": rows.get("suite", "alignment"), "prompt_id": rows["prompt_id"]})
    return key.join(published_scores(rows["aligned"], rows["coherent"])).assign(
        subset=rows.get("subset"),
        sample_index=key.groupby(["suite", "prompt_id"]).cumcount(),
        replicate=ORIGINAL,
        variant=FULL,
        judge=judge,
        rubric=rubric,
        reset_and_recover=None,
        harmful=None,
    )


_MISSING_WORDS = ("", "NAN", "NONE", "NULL", "NA", "N/A", "<NA>")


def _parsed(value: Any) -> Any:
    """A number that a file holds as text; what is none stays as it is, so that an error can show it."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def is_original(table: pd.DataFrame) -> pd.Series:
    """Which rows count: the first judgment of the whole answer, not judged again, not stripped."""
    return (table["replicate"] == ORIGINAL) & (table["variant"] == FULL)


def originals(table: pd.DataFrame, suite: str) -> pd.DataFrame:
    """The rows of one suite that count."""
    return table[is_original(table) & (table["suite"] == suite)]


def judged_again(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which the same judge scored a whole answer a second time."""
    return table[(table["replicate"] == JUDGED_AGAIN) & (table["variant"] == FULL)]


def stripped(table: pd.DataFrame, suite: str) -> pd.DataFrame:
    """The rows of one suite that were judged without the recovery's opening."""
    first = (table["replicate"] == ORIGINAL) & (table["variant"] == STRIPPED)
    return table[first & (table["suite"] == suite)]


def as_originals(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples with the keys of an original judgment."""
    return samples.assign(replicate=ORIGINAL, variant=FULL)


def prompt_means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of a column by prompt: one row per (condition, seed), one column per prompt_id.

    A prompt without any value is NaN, so that it can be seen to lack completions.
    """
    return _wide(frame.groupby(CELL, observed=True)[column].mean(), np.nan)


def prompt_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Number of rows by prompt, scored or not, in the layout of `prompt_means`; 0 where an arm has none."""
    return _wide(frame.groupby(CELL, observed=True).size(), 0)


def subset_labels(frame: pd.DataFrame) -> dict[str, set[str]]:
    """The published sets that hold each prompt; a `subset` cell joins several names by `+`."""
    labels: dict[str, set[str]] = {}
    for prompt_id, subset in (
        frame[["prompt_id", "subset"]].drop_duplicates().itertuples(index=False)
    ):
        names = set() if pd.isna(subset) else {part.strip() for part in str(subset).split("+")}
        labels.setdefault(prompt_id, set()).update(names - {""})
    return labels


def _wide(cells: pd.Series, gap: float) -> pd.DataFrame:
    """Cells by (condition, seed, prompt_id) as a matrix with plain text labels, sorted."""
    wide = cells.unstack("prompt_id", fill_value=gap)
    arms = [
        wide.index.get_level_values("condition").astype(str),
        wide.index.get_level_values("seed"),
    ]
    wide.index, wide.columns = pd.MultiIndex.from_arrays(arms), wide.columns.astype(str)
    return wide.sort_index(axis=0).sort_index(axis=1)


def _check_outcomes(table: pd.DataFrame, name: str) -> None:
    scored = table["outcome"] == "scored"
    excused = (table[list(NO_SCORE_NEEDED)] == 1).any(axis=1)
    for suite, needed in REQUIRED.items():
        rows = scored & (table["suite"] == suite) & ~(excused if suite == "alignment" else False)
        for column in needed:
            columns.fail(
                table,
                column,
                rows & table[column].isna(),
                name,
                f"in a scored row of suite {suite!r}; give the score or another outcome",
            )
    for column in (*SCORES, *FLAGS):
        columns.fail(
            table,
            column,
            ~scored & table[column].notna(),
            name,
            "in a row that was not scored; leave it empty, a missing score is missing",
        )


def _check_items(frame: pd.DataFrame, name: str) -> None:
    """Per-item results are {item: [acc, acc_norm]} of numbers, or missing."""

    def well_formed(items: Any) -> bool:
        if items is None or (isinstance(items, float) and np.isnan(items)):
            return True
        return isinstance(items, dict) and all(
            isinstance(pair, (list, tuple))
            and pair
            and all(type(score) in (int, float) for score in pair)
            for pair in items.values()
        )

    columns.fail(
        frame,
        "items",
        [not well_formed(items) for items in frame["items"]],
        name,
        "is not {item: [acc, acc_norm]} of numbers; mend it or leave `items` out",
    )
