"""The tables that the statistics read: their schema, and means by prompt (docs/protocol.md sections 5 and 6).

Every check fails closed: a row that breaks the schema is an error that names it, never a row quietly left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

OUTCOMES = ("scored", "judge_refusal", "parse_error", "truncated", "expired", "error")
VARIANTS = ("full", "stripped")
KEYS = ["suite", "condition", "seed", "prompt_id", "sample_index", "replicate", "variant"]
CELL = ["condition", "seed", "prompt_id"]
SCORES = ("aligned", "coherent")
FLAGS = ("refusal", "reset_and_recover", "harmful")
UNSCORED_BY = ("code", "refusal")  # a published table's CODE or REFUSAL stands in the place of `aligned`
COMPLETION_FLAGS = ("literal", "parrot")  # joined from completions: they do not depend on the judge's outcome
JUDGMENT_COLUMNS = (*KEYS, "subset", "outcome", *SCORES, *FLAGS)
CAPABILITY_COLUMNS = ("seed", "condition", "acc", "acc_stderr", "acc_norm", "n")
# What a scored row of a suite must hold; the other suites are descriptive and use what is there.
REQUIRED = {"alignment": SCORES, "benign": ("harmful",)}
DECIMALS = 9  # docs/protocol.md section 6: comparisons with thresholds are made after rounding to 1e-9


class SchemaError(ValueError):
    """A table that breaks the schema; the message names table, column, row (counted from 0) and remedy."""


def validate_judgments(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The judgments in canonical form: sorted by key, text as categories, scores and flags as floats (flags 0/1).

    frame: one row a judgment; name: the file or table that an error should name. Missing values are NaN. The columns
    `literal` and `parrot` are optional. Raises SchemaError.
    """
    if frame.empty:
        frame = pd.DataFrame(columns=list(JUDGMENT_COLUMNS))
    _require_columns(frame, JUDGMENT_COLUMNS, name)
    table = {column: _text(frame, column, name) for column in ("condition", "suite", "prompt_id")}
    table |= {column: _whole(frame, column, name) for column in ("seed", "sample_index", "replicate")}
    table |= {column: _choice(frame, column, options, name) for column, options in
              (("variant", VARIANTS), ("outcome", OUTCOMES))}
    table["subset"] = frame["subset"].to_numpy()
    table |= {column: _number(frame, column, name, 100.0) for column in SCORES}
    table |= {column: _flag(frame, column, name) for column in FLAGS}
    # Optional, since tables from elsewhere have none: missing for every row then.
    table["code"] = _flag(frame, "code", name) if "code" in frame else np.full(len(frame), np.nan)
    table |= {column: _flag(frame, column, name) for column in COMPLETION_FLAGS if column in frame}
    canonical = pd.DataFrame(table)
    _check_outcomes(canonical, name)
    _check_unique(canonical, KEYS, name, "keep one judge and one judgment a completion")
    return canonical.sort_values(KEYS, ignore_index=True)


def validate_capability(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The capability results in canonical form: shares 0-1 as floats, one row a seed and condition.

    Raises SchemaError; a missing accuracy stays NaN.
    """
    if frame.empty:
        frame = pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    _require_columns(frame, CAPABILITY_COLUMNS, name)
    table = {"condition": _text(frame, "condition", name), "seed": _whole(frame, "seed", name)}
    table |= {column: _number(frame, column, name, 1.0) for column in ("acc", "acc_stderr", "acc_norm")}
    table["n"] = _number(frame, "n", name, np.inf)
    if "items" in frame:  # optional: per-item results, for paired comparison
        table["items"] = frame["items"].to_numpy()
    canonical = pd.DataFrame(table)
    _check_unique(canonical, ["condition", "seed"], name, "keep one result a checkpoint")
    return canonical.sort_values(["condition", "seed"], ignore_index=True)


def originals(table: pd.DataFrame, suite: str) -> pd.DataFrame:
    """The rows of one suite that count: neither judged again nor stripped."""
    return table[(table["suite"] == suite) & (table["replicate"] == 0) & (table["variant"] == "full")]


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
    for prompt_id, subset in frame[["prompt_id", "subset"]].drop_duplicates().itertuples(index=False):
        names = set() if pd.isna(subset) else {part.strip() for part in str(subset).split("+")}
        labels.setdefault(prompt_id, set()).update(names - {""})
    return labels


def _wide(cells: pd.Series, gap: float) -> pd.DataFrame:
    """Cells by (condition, seed, prompt_id) as a matrix with plain text labels, sorted."""
    wide = cells.unstack("prompt_id", fill_value=gap)
    arms = [wide.index.get_level_values("condition").astype(str), wide.index.get_level_values("seed")]
    wide.index, wide.columns = pd.MultiIndex.from_arrays(arms), wide.columns.astype(str)
    return wide.sort_index(axis=0).sort_index(axis=1)


def _require_columns(frame: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise SchemaError(f"{name}: column {lacking[0]!r} is missing; a table needs {', '.join(columns)}")


def _fail(frame: pd.DataFrame, column: str, bad: np.ndarray, name: str, reason: str) -> None:
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        row = int(bad.argmax())
        value = frame[column].iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        raise SchemaError(f"{name}: column {column!r}, row {row}: {value!r} {reason}")


def _text(frame: pd.DataFrame, column: str, name: str) -> pd.Categorical:
    values = frame[column]
    _fail(frame, column, values.isna(), name, "is missing; every row names its " + column)
    return pd.Categorical(values.astype(str))


def _choice(frame: pd.DataFrame, column: str, options: tuple[str, ...], name: str) -> pd.Categorical:
    _fail(frame, column, ~frame[column].isin(options), name, f"is unknown; use one of {', '.join(options)}")
    return pd.Categorical(frame[column], categories=list(options))


def _whole(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    numbers = _float(frame[column])
    _fail(frame, column, ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.round(numbers))), name,
          "is no whole number of 0 or more")
    return numbers.astype(np.int64)


def _number(frame: pd.DataFrame, column: str, name: str, upper: float) -> np.ndarray:
    numbers = _float(frame[column])
    _fail(frame, column, frame[column].notna() & np.isnan(numbers), name, "is no number; leave a missing one empty")
    _fail(frame, column, (numbers < 0) | (numbers > upper) | np.isinf(numbers), name, f"lies outside 0-{upper:g}")
    return numbers


def _flag(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    # Equal hashes let True, 1 and 1.0 (how pandas stores booleans beside gaps) meet in one lookup.
    numbers = _float(frame[column].astype(object).map({True: 1.0, False: 0.0}))
    _fail(frame, column, frame[column].notna() & np.isnan(numbers), name, "is neither true, false nor missing")
    return numbers


def _float(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _check_outcomes(table: pd.DataFrame, name: str) -> None:
    scored = table["outcome"] == "scored"
    for suite, columns in REQUIRED.items():
        for column in columns:
            needed = scored & (table["suite"] == suite)
            if suite == "alignment":
                needed &= ~(table[list(UNSCORED_BY)] == 1).any(axis=1)
            _fail(table, column, needed & table[column].isna(), name,
                  f"in a scored row of suite {suite!r}; give the score or another outcome")
    for column in (*SCORES, *FLAGS, "code"):
        _fail(table, column, ~scored & table[column].notna(), name,
              "in a row that was not scored; leave it empty, a missing score is missing")


def _check_unique(table: pd.DataFrame, keys: list[str], name: str, remedy: str) -> None:
    again = table.duplicated(keys).to_numpy()
    if again.any():
        row = int(again.argmax())
        key = ", ".join(f"{column} {table[column].iloc[row]}" for column in keys)
        raise SchemaError(f"{name}: column {keys[-1]!r}, row {row}: repeats the key {key}; {remedy}")
