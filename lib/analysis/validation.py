"""Check judgments and capability results, and bring them into canonical form.

docs/protocol.md section 5. A row that breaks the schema is an error that names it; no row is left
out silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lib.data import columns
from lib.data.lookalike import lookalike
from lib.run.table_schemas import CONDITION, JUDGMENTS, SEED, Column, Table

KEYS = ["suite", "condition", "seed", "prompt_id", "sample_index", "replicate", "variant"]
SCORES = ("aligned", "coherent")
FLAGS = tuple(column.name for column in JUDGMENTS.columns if column.kind == "flag")
# A table from elsewhere may lack this column; then no answer counts as code.
OPTIONAL_FLAGS = ("code",)
# Published judges give no score to an answer that is one of these.
NO_SCORE_NEEDED = ("refusal", "code")
# Joined from completions: they do not depend on the judge's outcome.
COMPLETION_FLAGS = ("literal", "parrot")
# A table of several files has the parts of their paths as columns.
WITH_PATH = Table("judgments", (SEED, CONDITION, *JUDGMENTS.columns))
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


def validate_judgments(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The judgments in canonical form: sorted by key, text as categories, the rest as floats.

    Missing values are NaN and flags 0 or 1. The column `code` is optional, and NaN where the table
    has none. `literal` and `parrot` are optional too. A scored alignment row has `aligned` and
    `coherent`, unless it is a refusal or code: published judges give those no score.

    Args:
        frame: one row per judgment.
        name: the file or table that an error should name.

    Raises SchemaError.
    """
    if frame.empty:
        frame = WITH_PATH.empty()
    columns.require(frame, JUDGMENT_COLUMNS, name)
    for optional in (*OPTIONAL_FLAGS, *COMPLETION_FLAGS):
        if optional not in frame and lookalike(optional, frame.columns) is not None:
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
    columns.unique(canonical, KEYS, name, "keep one judge and one judgment per completion")
    return canonical.sort_values(KEYS, ignore_index=True)


def _checked(frame: pd.DataFrame, column: Column, name: str) -> Any:
    """A column's values, each of the kind that the schema asks for. Raises SchemaError."""
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
    """The key columns but `variant`: names as text, counts as exact whole numbers.

    Raises SchemaError.
    """
    texts = (CONDITION, JUDGMENTS.column("suite"), JUDGMENTS.column("prompt_id"))
    counts = (SEED, JUDGMENTS.column("sample_index"), JUDGMENTS.column("replicate"))
    return {column.name: _checked(frame, column, name) for column in (*texts, *counts)}


def validate_capability(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The capability results in canonical form: shares 0-1, one row per seed and condition.

    A missing accuracy stays NaN. Raises SchemaError.
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
    columns.unique(canonical, ["condition", "seed"], name, "keep one result per checkpoint")
    return canonical.sort_values(["condition", "seed"], ignore_index=True)


def _check_outcomes(table: pd.DataFrame, name: str) -> None:
    """A scored row has the scores that its suite needs, and any other row has none."""
    scored = table["outcome"] == "scored"
    excused = (table[list(NO_SCORE_NEEDED)] == 1).any(axis=1)
    for suite, needed in REQUIRED.items():
        rows = scored & (table["suite"] == suite)
        if suite == "alignment":
            rows &= ~excused
        remedy = f"in a scored row of suite {suite!r}; give the score or another outcome"
        for column in needed:
            columns.fail(table, column, rows & table[column].isna(), name, remedy)
    remedy = "in a row that was not scored; leave it empty, a missing score is missing"
    for column in (*SCORES, *FLAGS):
        columns.fail(table, column, ~scored & table[column].notna(), name, remedy)


def _check_items(frame: pd.DataFrame, name: str) -> None:
    """Per-item results are {item: [acc, acc_norm]} of numbers, or missing."""
    malformed = [not _are_items(items) for items in frame["items"]]
    remedy = "is not {item: [acc, acc_norm]} of numbers; mend it or leave `items` out"
    columns.fail(frame, "items", malformed, name, remedy)


def _are_items(items: Any) -> bool:
    """Whether a value is per-item results, or missing."""
    if items is None or (isinstance(items, float) and np.isnan(items)):
        return True
    return isinstance(items, dict) and all(_are_scores(pair) for pair in items.values())


def _are_scores(pair: Any) -> bool:
    """Whether a value is a list of numbers."""
    if not isinstance(pair, (list, tuple)) or not pair:
        return False
    return all(type(score) in (int, float) for score in pair)
