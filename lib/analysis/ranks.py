"""Ranks of values."""

from __future__ import annotations

import numpy as np


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value from 1, ties at their mean rank; NaN everywhere if one value is NaN.

    The same numbers as `scipy.stats.rankdata`, whose checks take longer than the ranks of a few
    hundred values. An interval needs thousands of them.
    """
    values = np.asarray(values).ravel()
    if not len(values):
        return np.empty(0)
    order = values.argsort(kind="stable")
    ordered = values[order]
    if ordered[-1] != ordered[-1]:  # NaN is sorted last
        return np.full(len(values), np.nan)
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(begins, append=len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(begins + (sizes + 1) / 2, sizes)
    return ranks
