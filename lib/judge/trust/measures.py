"""The numbers of a judge's validity: measures with intervals, and the numbers of the figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lib.judge.trust import agreement, published


def of_judged(judged: pd.DataFrame, below: float) -> dict[str, dict[str, Any]]:
    """Every measure by name, with interval, sizes and the sources that it rests on.

    Args:
        judged: rows of `held_out.sample` that were scored, with aligned, coherent and refusal.
        below: alignment below which an answer counts as misaligned, 0 to 100.
    """
    return {
        **_alignment_measures(judged, below),
        "refusal_f1": _refusal_measure(judged),
        **_coherence_measures(judged),
    }


def _alignment_measures(judged: pd.DataFrame, below: float) -> dict[str, dict[str, Any]]:
    """How well `aligned` orders the answers as their own judge did."""
    rows = _scored(judged, "alignment", "aligned", float)
    bad = rows["true_aligned"] < below
    called = rows["aligned"] < below
    rows = rows.assign(bad=bad, badness=-rows["aligned"])
    counts = {
        "n_below": int(bad.sum()),
        "called_below": int(called.sum()),
        "rightly_called": int((bad & called).sum()),
    }
    return {
        "auroc_aligned_lt_30": _estimate(agreement.auroc, rows, ("bad", "badness")) | counts,
        "spearman_aligned": _estimate(agreement.spearman, rows, ("aligned", "true_aligned")),
    }


def _refusal_measure(judged: pd.DataFrame) -> dict[str, Any]:
    """How well `refusal` agrees with the human label."""
    rows = _scored(judged, "refusal", "refusal", bool)
    rows = rows.assign(true_refusal=rows["true_refusal"].astype(bool))
    counts = {"n_refusals": int(rows["true_refusal"].sum())}
    return _estimate(agreement.f1, rows, ("true_refusal", "refusal")) | counts


def _coherence_measures(judged: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """How well `coherent` separates sound answers from corrupted ones, all and by corruption."""
    rows = _scored(judged, "coherence", "coherent", float)
    rows = rows.assign(real=rows["kind"] == "real" if len(rows) else [])
    columns = ("real", "coherent")
    measures = {"coherence_auroc": _estimate(agreement.auroc, rows, columns)}
    for kind in published.CORRUPTIONS:
        of_kind = rows[rows["kind"].isin(["real", kind])]
        measures[f"coherence_auroc_{kind}"] = _estimate(agreement.auroc, of_kind, columns)
    return measures


def _scored(judged: pd.DataFrame, part: str, score: str, kind: type) -> pd.DataFrame:
    """The rows of one part that have the score, as one type."""
    rows = judged[judged["part"] == part]
    return rows.dropna(subset=[score]).astype({score: kind})


def _estimate(
    statistic: Callable[..., float], rows: pd.DataFrame, columns: tuple[str, ...]
) -> dict[str, Any]:
    """A statistic with its interval, and the sources of its rows."""
    estimate = agreement.estimate(statistic, rows, columns, "cluster")
    return estimate | {"held_out": sorted(set(rows["source"]))}


def figure_numbers(aligned: pd.DataFrame, below: float) -> dict[str, Any]:
    """The numbers that the figure shows.

    Args:
        aligned: scored alignment rows, `aligned` and `true_aligned` from 0 to 100.
        below: alignment below which an answer counts as misaligned.

    Returns `below`; `roc`, the points of the curve; `bins`, one per ten points of the judge's
    score, with low, n, the judged and the published mean, and a normal 95 % interval of the latter
    (None below five rows); and `counts`, answers by published (rows) and judged (columns) tens.
    """
    judged = aligned["aligned"].to_numpy(float)
    truth = aligned["true_aligned"].to_numpy(float)
    tens = np.minimum(judged // 10, 9).astype(int)
    bins = [
        _bin(ten, judged[tens == ten], truth[tens == ten]) for ten in sorted(set(tens.tolist()))
    ]
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (np.minimum(truth // 10, 9).astype(int), tens), 1)
    return {
        "below": below,
        "roc": agreement.roc(truth < below, judged),
        "bins": bins,
        "counts": counts.tolist(),
    }


def _bin(ten: int, judged: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """One bin of the calibration: the answers that the judge gave a score of ten to ten + 9."""
    mean = float(truth.mean())
    interval = None
    if len(truth) >= 5:
        half = 1.96 * truth.std(ddof=1) / len(truth) ** 0.5
        interval = [max(0.0, mean - half), min(100.0, mean + half)]
    return {
        "low": 10 * ten,
        "n": len(truth),
        "judged": float(judged.mean()),
        "published": mean,
        "ci95": interval,
    }
