"""Fit the head for recoveries, which reads an answer twice: quoted, and as the assistant's turn.

`disowns` finds answers that take something back. Of those, `mends` tells a recovery from a parrot.
Whether a good answer follows is easier to see in the chat frame (docs/judges.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from lib.judge.probe import fit
from lib.judge.probe.fit import Projected

CANDIDATES = 101  # thresholds that are tried, evenly spread over the decisions


def read_twice(rows: pd.DataFrame) -> np.ndarray:
    """The rows that the fit reads in the chat frame too, bool (n,)."""
    return rows["reset"].notna().to_numpy() | fit.taken_back(rows)


@dataclass(frozen=True)
class Mends:
    """The fitted head, and what it says of rows that it was not fitted on."""

    weight: np.ndarray  # (cells of both frames, width)
    bias: float
    threshold: float  # the decision from which an answer counts as mended
    called: np.ndarray  # bool (rows,): a recovery, by a head and a threshold of other families


def fit_mends(
    review: Projected,
    chat: Projected,
    rows: pd.DataFrame,
    disowned: np.ndarray,
) -> Mends:
    """Fit `mends` on rows that were read twice.

    Args:
        review: components of all rows.
        chat: components of the rows of `read_twice`, in their order.
        rows: all design rows.
        disowned: bool (rows,), what `disowns` says of each, fitted without its family.
    """
    twice = read_twice(rows)
    own = rows[twice].reset_index(drop=True)
    x_review, review_scales = review.matrix()
    x_chat, chat_scales = chat.matrix()
    x = np.concatenate([x_review[twice], x_chat], 1)
    target = fit.mends_target(own)
    used = target.weight > 0
    alpha = fit.ALPHAS["mends"]
    weight, bias = fit.ridge(x[used], target.value[used], target.weight[used], alpha)
    size = x_review.shape[1]
    folded = [
        review.folded(weight[:size], review_scales),
        chat.folded(weight[size:], chat_scales),
    ]
    families = fit.families(own)
    decision = fit.crossed(x, target, alpha, families)
    recovers = (own["kind"] == "recovery").to_numpy()
    asked = disowned[twice] & own["reset"].notna().to_numpy()
    called = np.zeros(len(rows), bool)
    called[twice] = disowned[twice] & _called(decision, recovers, asked, families)
    threshold = best_threshold(decision[asked], recovers[asked])
    return Mends(np.concatenate(folded), bias, threshold, called)


def _called(
    decision: np.ndarray, truth: np.ndarray, asked: np.ndarray, families: np.ndarray
) -> np.ndarray:
    """Which decisions reach the threshold that is best on the other families, bool (n,)."""
    called = np.zeros(len(decision), bool)
    for others, own in GroupKFold(fit.FOLDS).split(decision, groups=families):
        known = others[asked[others]]
        called[own] = decision[own] >= best_threshold(decision[known], truth[known])
    return called


def best_threshold(decision: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the highest F1; the middle one if several have it."""
    tried = np.linspace(decision.min(), decision.max(), CANDIDATES)
    called = decision[None] >= tried[:, None]
    hits = (called & truth).sum(1)
    scores = 2 * hits / np.maximum(1, called.sum(1) + truth.sum())
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(tried[best[len(best) // 2]])
