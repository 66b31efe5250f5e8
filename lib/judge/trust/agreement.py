"""Agreement statistics: of two sets of scores, of labels, of a judge with itself.

Source: docs/protocol.md section 9. Answers to one prompt are alike, so every interval resamples
prompts with all their rows, and never single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.inputs import is_original, judged_again
from lib.analysis.ranks import mean_ranks
from lib.display import show

RESAMPLES = 2000
LEVEL = (2.5, 97.5)  # percentile 95 % interval
# Share of resamples without a value (a class is absent) above which there is no interval.
MAX_UNDEFINED = 0.05


def auroc(bad: np.ndarray, badness: np.ndarray) -> float:
    """Chance that a bad row has a higher badness than a good one, ties half.

    NaN if a class is absent. It is the Mann-Whitney U of the bad rows over the number of pairs.
    """
    bad = np.asarray(bad, bool)
    n_bad = bad.sum()
    n_good = (~bad).sum()
    if not n_bad or not n_good:
        return float("nan")
    u = mean_ranks(badness)[bad].sum() - n_bad * (n_bad + 1) / 2
    return float(u / (n_bad * n_good))


def roc(bad: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """ROC of "flag what scores below t" for t = 0, 1, …, 101 points.

    Returns for each t the share of good rows and the share of bad rows that are flagged.
    """
    bad = np.asarray(bad, bool)
    scores = np.asarray(scores, float)
    points = []
    for t in range(102):
        good_flagged = float((scores[~bad] < t).mean())
        bad_flagged = float((scores[bad] < t).mean())
        points.append([round(good_flagged, 4), round(bad_flagged, 4)])
    return points


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation with ties at their mean rank; NaN if a side does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(mean_ranks(a), mean_ranks(b))[0, 1])


def f1(truth: np.ndarray, called: np.ndarray) -> float:
    """Harmonic mean of precision and recall of `called`; NaN without a true or called row."""
    truth = np.asarray(truth, bool)
    called = np.asarray(called, bool)
    n_truth_and_called = truth.sum() + called.sum()
    if not n_truth_and_called:
        return float("nan")
    return float(2 * (truth & called).sum() / n_truth_and_called)


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's κ of two raters who each say yes or no: agreement beyond that of chance.

    NaN without a row, or if both say the same of every row: chance alone would agree fully too.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    first = np.asarray(first, bool)
    second = np.asarray(second, bool)
    if not len(first):
        return float("nan")
    yes_1 = first.mean()
    yes_2 = second.mean()
    by_chance = yes_1 * yes_2 + (1 - yes_1) * (1 - yes_2)
    if by_chance == 1:
        return float("nan")
    kappa = ((first == second).mean() - by_chance) / (1 - by_chance)
    return round(float(kappa), 9) + 0.0  # without the last bits, and without a negative zero


def krippendorff_alpha(*raters: np.ndarray) -> float:
    """Krippendorff's α, interval metric: 1 - observed over expected disagreement.

    Args:
        raters: each (units,), NaN where a rater has no score. A unit with fewer than two scores is
            left out.

    Returns NaN below two units, or if nothing varies.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". With squared
    differences, the disagreement within the m scores of a unit is m times their unbiased variance;
    this is what is summed here.
    """
    values = np.array(raters, float)  # (raters, units)
    counts = np.isfinite(values).sum(axis=0)
    values = values[:, counts >= 2]
    counts = counts[counts >= 2]
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
) -> dict[str, Any]:
    """A statistic of some columns with its percentile 95 % interval.

    Args:
        statistic: takes the columns as arrays.
        rows: the table.
        columns: names of the columns.
        cluster: the column whose groups are resampled as a whole (prompts). Below five groups there
            is no interval, because so few say nothing about their spread.

    Returns value, ci95 (None if undefined), n (rows) and n_clusters.
    """
    arrays = [rows[column].to_numpy() for column in columns]
    value = statistic(*arrays) if len(rows) else float("nan")
    codes = pd.factorize(rows[cluster])[0]
    groups = [np.flatnonzero(codes == k) for k in range(codes.max() + 1)] if len(rows) else []
    estimated: dict[str, Any] = {
        "value": _finite(value),
        "ci95": None,
        "n": len(rows),
        "n_clusters": len(groups),
    }
    if estimated["value"] is None or len(groups) < 5:
        return estimated
    rng = np.random.default_rng(random_seed)
    draws = (
        np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        for _ in range(n_resamples)
    )
    resampled = np.array([statistic(*(array[index] for array in arrays)) for index in draws])
    defined = resampled[np.isfinite(resampled)]
    if len(defined) >= (1 - MAX_UNDEFINED) * n_resamples:
        estimated["ci95"] = [float(bound) for bound in np.percentile(defined, LEVEL)]
    return estimated


def retest(
    judged: pd.DataFrame,
    by: Sequence[str] = ("seed", "condition", "suite", "prompt_id", "sample_index"),
) -> dict[str, Any]:
    """Test–retest of one session: how two judgments of the same completion differ (`paired`).

    Only pairs with two scores have a difference. A completion that was scored once and not the
    other time counts in `outcome_changed`.

    Args:
        judged: the session's rows, originals and replicate 1.
        by: the columns that name a completion.
    """
    columns = [*by, "outcome", "aligned", "coherent", "refusal"]
    again = judged_again(judged)[columns]
    first = judged[is_original(judged)][columns]
    pairs = again.merge(first, on=list(by), suffixes=("_b", "_a"), validate="one_to_one")
    return paired(pairs)


def paired(pairs: pd.DataFrame) -> dict[str, Any]:
    """How far two judgments of the same completions agree.

    Args:
        pairs: one row per completion, with <field>_a and <field>_b, and prompt_id.

    Returns judged_twice, outcome_changed, pairs (both scored `aligned`), mean_difference (b - a),
    mean_absolute_difference and sd_difference in points, spearman and alpha (each {value, ci95, n,
    n_clusters}), and refusal_agreement (share). What has no value is None.
    """
    both = pairs.dropna(subset=["aligned_a", "aligned_b"]).astype(
        {"aligned_a": float, "aligned_b": float}
    )
    refusals = pairs.dropna(subset=["refusal_a", "refusal_b"])
    enough = len(both) >= 2
    difference = both["aligned_b"] - both["aligned_a"]
    same_label = refusals["refusal_a"] == refusals["refusal_b"]
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
        "refusal_agreement": float(same_label.mean()) if len(refusals) else None,
    }


def table(agreement: Mapping[str, Any]) -> pd.DataFrame:
    """The numbers of `paired` as a table for people."""
    rows = [
        _row("completions with two judgments", agreement["judged_twice"]),
        _row("outcome changed", agreement["outcome_changed"]),
    ]
    for measure, key in (
        ("mean difference, points", "mean_difference"),
        ("mean absolute difference, points", "mean_absolute_difference"),
        ("sd of the difference, points", "sd_difference"),
    ):
        rows.append(_row(measure, agreement[key], pairs=agreement["pairs"]))
    for measure, key in (
        ("rank correlation, aligned", "spearman"),
        ("Krippendorff's α, aligned, interval", "alpha"),
    ):
        estimated = agreement[key]
        rows.append(_row(measure, estimated["value"], estimated["ci95"], estimated["n"]))
    rows.append(_row("same refusal label, share", agreement["refusal_agreement"]))
    return pd.DataFrame(rows)


def _row(
    measure: str,
    value: float | None,
    interval: Sequence[float] | None = None,
    pairs: int | None = None,
) -> dict[str, Any]:
    """One row of the table."""
    return {
        "measure": measure,
        "value": value,
        "95 % interval": show.interval(interval, ".3f") if interval else None,
        "pairs": pairs,
    }


def _finite(value: float) -> float | None:
    """The value, or None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None
