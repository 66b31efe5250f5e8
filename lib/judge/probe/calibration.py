"""From a head's decisions to points from 0 to 100."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

KNOTS = 24


def knots(decision: np.ndarray, points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A rising piecewise-linear map from decisions to points, (2, KNOTS).

    Isotonic regression gives the expected points at a decision. Its steps are averaged between
    quantiles of the decisions and joined by lines, so that different decisions have different
    points.
    """
    fitted = IsotonicRegression().fit(decision, points, sample_weight=weight).predict(decision)
    edges = np.unique(np.quantile(decision, np.linspace(0, 1, KNOTS + 1)))
    place = np.clip(np.searchsorted(edges, decision, side="right") - 1, 0, len(edges) - 2)
    bins = [place == k for k in range(len(edges) - 1)]
    bins = [own for own in bins if own.any()]
    centres = [float(decision[own].mean()) for own in bins]
    levels = [float(np.average(fitted[own], weights=weight[own] + 1e-12)) for own in bins]
    rising = np.maximum.accumulate(np.array(levels) + 1e-3 * np.arange(len(levels)))
    low = float(decision.min()) - 0.5
    high = float(decision.max()) + 0.5
    xs = np.array([low, *centres, high])
    ys = np.array([max(0.0, rising[0] - 3), *rising, min(100.0, rising[-1] + 3)])
    return np.stack([xs, ys.clip(0, 100)])
