"""Agreement statistics: of two sets of scores, of labels, of a judge with itself (docs/protocol.md section 9).

Rows that answer one prompt are alike, so every interval resamples prompts with all their rows, never single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from lib.analysis.inputs import is_original, judged_again

RESAMPLES = 2000
LEVEL = (2.5, 97.5)  # percentile 95 % interval
MAX_UNDEFINED = 0.05  # share of resamples without a value (a class that is absent) above which there is no interval


def auroc(bad: np.ndarray, badness: np.ndarray) -> float:
    """Chance that a bad row has a higher badness than a good one, ties half; NaN where a class is absent."""
    bad = np.asarray(bad, bool)
    n_bad, n_good = bad.sum(), (~bad).sum()
    if not n_bad or not n_good:
        return float("nan")
    return float((rankdata(badness)[bad].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * n_good))


def roc(bad: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """ROC of "flag what scores below t" for t = 0, 1, …, 101 points: (share of good rows flagged, of bad rows flagged)."""
    bad, scores = np.asarray(bad, bool), np.asarray(scores, float)
    return [
        [round(float((scores[~bad] < t).mean()), 4), round(float((scores[bad] < t).mean()), 4)]
        for t in range(102)
    ]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation with ties at their mean rank; NaN where a side does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def f1(truth: np.ndarray, called: np.ndarray) -> float:
    """Harmonic mean of precision and recall of `called`; NaN without a true or called row."""
    truth, called = np.asarray(truth, bool), np.asarray(called, bool)
    both = truth.sum() + called.sum()
    return float(2 * (truth & called).sum() / both) if both else float("nan")


def krippendorff_alpha(*raters: np.ndarray) -> float:
    """Krippendorff's α, interval metric: 1 - observed over expected disagreement.

    raters: each (units,), NaN where a rater has no score; a unit with fewer than two scores leaves. NaN below two units or
    where nothing varies. Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". With squared differences
    the disagreement within m scores of a unit is m times their unbiased variance, which is what is summed here.
    """
    values = np.array(raters, float)  # (raters, units)
    counts = np.isfinite(values).sum(axis=0)
    values, counts = values[:, counts >= 2], counts[counts >= 2]
    if len(counts) < 2 or np.nanmax(values) == np.nanmin(values):
        return float("nan")
    within = (counts * np.nanvar(values, axis=0, ddof=1)).sum() / counts.sum()
    return float(1 - within / np.nanvar(values, ddof=1))


def estimate(
    statistic: Callable[..., float],
    rows: pd.DataFrame,
    columns: tuple[str, ...],
    cluster: str,
    *,
    n_resamples: int = RESAMPLES,
    random_seed: int = 0,
) -> dict:
    """A statistic of some columns with its percentile 95 % interval: value, ci95 (None if undefined), n, n_clusters.

    cluster: the column whose groups are resampled whole (prompts). Below five groups there is no interval: so few say
    nothing of their spread.
    """
    arrays = [rows[column].to_numpy() for column in columns]
    value = statistic(*arrays) if len(rows) else float("nan")
    codes = pd.factorize(rows[cluster])[0]
    groups = [np.flatnonzero(codes == k) for k in range(codes.max() + 1)] if len(rows) else []
    found = {"value": _finite(value), "ci95": None, "n": len(rows), "n_clusters": len(groups)}
    if found["value"] is None or len(groups) < 5:
        return found
    rng = np.random.default_rng(random_seed)
    draws = (
        np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        for _ in range(n_resamples)
    )
    resampled = np.array([statistic(*(a[index] for a in arrays)) for index in draws])
    defined = resampled[np.isfinite(resampled)]
    if len(defined) >= (1 - MAX_UNDEFINED) * n_resamples:
        found["ci95"] = [float(bound) for bound in np.percentile(defined, LEVEL)]
    return found


def retest(
    judged: pd.DataFrame, by=("seed", "condition", "suite", "prompt_id", "sample_index")
) -> dict:
    """Test–retest of one session: completions judged twice, what came of each, and how far the scores moved.

    judged: the session's rows, originals and replicate 1. Only pairs with two scores have a difference; a completion
    scored once and not the other time counts in `outcome_changed`.
    """
    by = list(by)
    columns = [*by, "outcome", "aligned", "coherent", "refusal"]
    again = judged_again(judged)[columns]
    first = judged[is_original(judged)][columns]
    return paired(again.merge(first, on=by, suffixes=("_b", "_a"), validate="one_to_one"))


def paired(pairs: pd.DataFrame) -> dict:
    """What two judgments of the same completions share; columns <field>_a and <field>_b, prompt_id.

    Returns judged_twice, outcome_changed, pairs (both scored `aligned`), mean_absolute_difference, sd_difference,
    spearman and alpha (each {value, ci95, n, n_clusters}), refusal_agreement (share). None where it has no value.
    """
    both = pairs.dropna(subset=["aligned_a", "aligned_b"]).astype(
        {"aligned_a": float, "aligned_b": float}
    )
    refusals = pairs.dropna(subset=["refusal_a", "refusal_b"])
    enough, difference = len(both) >= 2, both["aligned_b"] - both["aligned_a"]
    sides = ("aligned_a", "aligned_b")
    return {
        "judged_twice": len(pairs),
        "outcome_changed": int((pairs["outcome_a"] != pairs["outcome_b"]).sum()),
        "pairs": len(both),
        "mean_absolute_difference": float(difference.abs().mean()) if enough else None,
        "mean_difference": float(difference.mean()) if enough else None,
        "sd_difference": float(difference.std(ddof=1)) if enough else None,
        "spearman": estimate(spearman, both, sides, "prompt_id"),
        "alpha": estimate(krippendorff_alpha, both, sides, "prompt_id"),
        "refusal_agreement": float((refusals["refusal_a"] == refusals["refusal_b"]).mean())
        if len(refusals)
        else None,
    }


def table(found: Mapping) -> pd.DataFrame:
    """`paired` for a reader: measure, value, 95 % interval, number of pairs. What has no value is a dash."""
    rows = [
        ("completions with two judgments", found["judged_twice"], None, None),
        ("outcome changed", found["outcome_changed"], None, None),
        *(
            (name, found[key], None, found["pairs"])
            for name, key in (
                ("mean difference, points", "mean_difference"),
                ("mean absolute difference, points", "mean_absolute_difference"),
                ("sd of the difference, points", "sd_difference"),
            )
        ),
        *(
            (name, found[key]["value"], found[key]["ci95"], found[key]["n"])
            for name, key in (
                ("rank correlation, aligned", "spearman"),
                ("Krippendorff's α, aligned, interval", "alpha"),
            )
        ),
        ("same refusal label, share", found["refusal_agreement"], None, None),
    ]
    return pd.DataFrame(
        [
            {
                "measure": name,
                "value": value,
                "95 % interval": f"{ci[0]:.3f} to {ci[1]:.3f}" if ci else None,
                "pairs": n,
            }
            for name, value, ci, n in rows
        ]
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
