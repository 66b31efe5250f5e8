"""The inputs of every statistic: the rows that count, and their means by prompt.

All tables here are judgments in canonical form (lib/analysis/validation.py).
"""

from __future__ import annotations

import pandas as pd

from lib.run.table_schemas import FULL, JUDGED_AGAIN, ORIGINAL, STRIPPED

CELL = ["condition", "seed", "prompt_id"]


def is_original(table: pd.DataFrame) -> pd.Series:
    """Which rows count: the first judgment of each whole answer."""
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

    A prompt without any value is NaN.
    """
    return _wide(frame.groupby(CELL, observed=True)[column].mean(), None)


def prompt_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Number of rows by prompt, scored or not, in the layout of `prompt_means`.

    It is 0 where an arm has none.
    """
    return _wide(frame.groupby(CELL, observed=True).size(), 0)


def subset_labels(frame: pd.DataFrame) -> dict[str, set[str]]:
    """The published sets that hold each prompt; a `subset` cell joins several names by `+`."""
    labels: dict[str, set[str]] = {}
    pairs = frame[["prompt_id", "subset"]].drop_duplicates()
    for prompt_id, subset in pairs.itertuples(index=False):
        names = set() if pd.isna(subset) else {part.strip() for part in str(subset).split("+")}
        labels.setdefault(prompt_id, set()).update(names - {""})
    return labels


def rows_of(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """An arm's rows of a table in the layout of `prompt_means`: one per seed."""
    return table.loc[[arm]].droplevel("condition")


def _wide(cells: pd.Series, gap: int | None) -> pd.DataFrame:
    """Cells by (condition, seed, prompt_id) as a matrix with plain text labels, sorted.

    gap: what stands where there is no cell; None = NaN.
    """
    wide = cells.unstack("prompt_id", fill_value=gap)
    arms = [
        wide.index.get_level_values("condition").astype(str),
        wide.index.get_level_values("seed"),
    ]
    wide.index = pd.MultiIndex.from_arrays(arms)
    wide.columns = wide.columns.astype(str)
    return wide.sort_index(axis=0).sort_index(axis=1)
