"""Capability of one arm, and its difference between two arms (docs/protocol.md section 6).

The items are the same in every seed, so seeds are not independent draws of items. Each item is
averaged over seeds first, and the standard error is over items.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis.bootstrap import Z_INTERVAL
from lib.analysis.effects import AccuracyDifference


@dataclass(frozen=True)
class MeanAccuracy:
    """One arm's accuracy over its seeds; all None where there is none."""

    acc: float | None = None  # share of items
    acc_stderr: float | None = None  # standard error; NaN where a seed's is unknown
    acc_norm: float | None = None  # the same share, normalised by answer length
    acc_n: float | None = None  # items, of the seed with the fewest


def mean_accuracy(rows: pd.DataFrame) -> MeanAccuracy:
    """One arm's accuracy over its seeds.

    If all seeds have per-item results of the same items, the standard error is that of the items'
    means over seeds. Otherwise it is the mean of the seeds' standard errors. That would be right if
    all seeds agreed on every item, and is an upper bound.
    """
    acc = rows.dropna(subset="acc")
    if acc.empty:
        return MeanAccuracy()
    by_item = _by_item(acc["items"]) if "items" in acc else None
    of_seeds = float(acc["acc_stderr"].mean(skipna=False))
    error = of_seeds if by_item is None else _item_error(by_item)
    return MeanAccuracy(
        acc=float(acc["acc"].mean()),
        acc_stderr=error,
        acc_norm=float(acc["acc_norm"].mean()),
        acc_n=float(acc["n"].min()),
    )


def accuracy_difference(
    capability: pd.DataFrame, left: str, right: str, seeds: Collection[int] | None = None
) -> AccuracyDifference | None:
    """Accuracy of `left` - `right` over the seeds that have both, with a normal 95 % interval.

    If both sides have per-item results of the same items (column `items`, {id: [acc, acc_norm]}),
    the standard error is that of the paired item differences, averaged over seeds. Otherwise both
    sides' standard errors are combined as if independent, which is wider. `paired` says which.

    Args:
        capability: accuracies of all arms and seeds.
        left: the arm that is subtracted from.
        right: the arm that is subtracted.
        seeds: the seeds of the comparison. None: all that both arms have.

    Returns None without a seed, or if an arm has no accuracy at one of them.
    """
    of_left = capability[capability["condition"] == left].set_index("seed")
    of_right = capability[capability["condition"] == right].set_index("seed")
    both = of_left.join(of_right, how="inner", rsuffix="_right")
    both = both.dropna(subset=["acc", "acc_right"])
    if seeds is not None:
        if not seeds or not set(seeds) <= set(both.index):
            return None
        both = both.loc[sorted(seeds)]
    if both.empty:
        return None
    difference = float((both["acc"] - both["acc_right"]).mean())
    by_item = _paired_items(both)
    if by_item is not None:
        error = _item_error(by_item)
    else:
        errors = both[["acc_stderr", "acc_stderr_right"]].to_numpy(float)  # (seeds, 2)
        error = float(np.sqrt((errors**2).sum(axis=1)).mean())  # NaN if one is missing
    known = math.isfinite(error)
    half = Z_INTERVAL * error
    return AccuracyDifference(
        difference=difference,
        stderr=error if known else None,
        ci95=[difference - half, difference + half] if known else None,
        paired=by_item is not None,
        n_seeds=len(both),
    )


def _by_item(results: pd.Series) -> np.ndarray | None:
    """Accuracy of every item, averaged over seeds, (items,).

    None unless all seeds scored the same items, and two or more.
    """
    tables = list(results)
    if not tables or not all(isinstance(table, dict) for table in tables):
        return None
    items = list(tables[0])
    if len(items) < 2 or any(table.keys() != tables[0].keys() for table in tables):
        return None
    by_seed = [_accuracies(table, items) for table in tables]
    return np.mean(by_seed, axis=0)


def _accuracies(table: dict, items: list) -> list[float]:
    """One seed's accuracies in the order of `items`; table: {id: [acc, acc_norm]}."""
    return [table[item][0] for item in items]


def _paired_items(both: pd.DataFrame) -> np.ndarray | None:
    """Difference of every item, averaged over seeds, (items,).

    None unless both sides scored the same items.
    """
    if "items" not in both:
        return None
    left = _by_item(both["items"])
    right = _by_item(both["items_right"])
    if left is None or right is None:
        return None
    left_items = list(both["items"].iloc[0])
    right_items = list(both["items_right"].iloc[0])
    if set(left_items) != set(right_items):
        return None
    place = {item: index for index, item in enumerate(right_items)}
    return left - right[[place[item] for item in left_items]]


def _item_error(by_item: np.ndarray) -> float:
    """Standard error of a mean over items."""
    return float(by_item.std(ddof=1) / math.sqrt(len(by_item)))
