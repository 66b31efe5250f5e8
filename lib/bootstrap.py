"""Bootstrap over prompts, or over seeds and prompts, of means of per-prompt means (docs/protocol.md section 6).

Everywhere a matrix is (seeds, prompts) and complete: what lacks a completion has left before.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from lib.tables import DECIMALS

LEVEL = (2.5, 97.5)  # percentile 95 % interval
LEVEL_90 = (5, 95)  # its lower end is what a one-sided test at 5 % asks
Z_TEST, Z_POWER = 1.645, 0.842  # one-sided 5 %, power 80 %
Z_INTERVAL = 1.959963984540054  # two-sided 95 % normal quantile
CHUNK = 1 << 20  # elements drawn at a time: about 16 MB, whatever the number of resamples


def resampled_means(matrix: np.ndarray, n_resamples: int, random_seed: int, *, with_seeds: bool = False) -> np.ndarray:
    """Grand means of resampled matrices, shape (n_resamples,).

    Prompts are drawn with replacement; `with_seeds` draws seeds as well, independently (crossed, not nested). Prompt
    draws come from `default_rng(random_seed)` in the order of scipy.stats.bootstrap, seed draws from a generator of
    their own, so that neither the chunk size nor the second level changes them.
    """
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    if n_resamples < 1 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(
            f"bootstrap of a {matrix.shape} matrix, {n_resamples} resamples: it needs one resample or more and a "
            "complete matrix of numbers; let prompts without completions leave first"
        )
    n_seeds, n_prompts = matrix.shape
    draw_prompts, draw_seeds = np.random.default_rng(random_seed), np.random.default_rng([random_seed, 1])
    by_prompt = matrix.mean(axis=0)
    step = max(1, CHUNK // n_prompts)
    means = np.empty(n_resamples)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        prompts = draw_prompts.integers(0, n_prompts, (size, n_prompts))
        if with_seeds:
            seeds = draw_seeds.integers(0, n_seeds, (size, n_seeds))
            rows = _counts(seeds) @ matrix / n_seeds  # (size, prompts): each resample's mean over its seeds
            means[start : start + size] = np.take_along_axis(rows, prompts, axis=1).mean(axis=1)
        else:
            means[start : start + size] = by_prompt[prompts].mean(axis=1)
    return means


def mean_interval(matrix: np.ndarray, *, n_resamples: int, random_seed: int, seeds_for_interval: int) -> dict:
    """Mean with its percentile intervals: mean, ci95 and ci90 ([lo, hi] or None), interval_over, n_prompts, n_seeds,
    standard_error and the resampled means (array or None).

    Below `seeds_for_interval` seeds the interval is over prompts only. Under two prompts there is none.
    """
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    n_seeds, n_prompts = matrix.shape
    with_seeds = n_seeds >= seeds_for_interval
    summary = {
        "mean": float(matrix.mean()) if matrix.size else None,
        "ci95": None,
        "ci90": None,
        "interval_over": None,
        "n_prompts": n_prompts,
        "n_seeds": n_seeds,
        "standard_error": None,
        "resampled": None,
    }
    if n_prompts >= 2 and n_seeds >= 1:
        resampled = resampled_means(matrix, n_resamples, random_seed, with_seeds=with_seeds)
        # Over prompts alone the standard error has its textbook form; with seeds it is the spread of the resamples.
        error = resampled.std() if with_seeds else matrix.mean(axis=0).std(ddof=1) / math.sqrt(n_prompts)
        summary |= {
            "ci95": [float(bound) for bound in np.percentile(resampled, LEVEL)],
            "ci90": [float(bound) for bound in np.percentile(resampled, LEVEL_90)],
            "interval_over": "prompts and seeds" if with_seeds else "prompts",
            "standard_error": float(error),
            "resampled": resampled,
        }
    return summary


def paired_bootstrap(
    treatment: np.ndarray, baseline: np.ndarray, *, n_resamples: int = 10_000, random_seed: int = 0,
    seeds_for_interval: int = 5,
) -> dict:
    """The confirmatory test: `mean_interval` of treatment - baseline as `delta`, with `p_value` and `mde`.

    treatment, baseline: per-prompt means, (prompts,) or (seeds, prompts), same order, points 0-100. One-sided
    p = (1 + #{resampled delta <= 0}) / (resamples + 1), resampled deltas rounded to 1e-9. Raises ValueError on shapes
    that differ or on gaps.
    """
    treatment, baseline = np.asarray(treatment, dtype=float), np.asarray(baseline, dtype=float)
    if treatment.shape != baseline.shape:
        raise ValueError(f"paired arms have shapes {treatment.shape} and {baseline.shape}; pair them first")
    summary = mean_interval(
        treatment - baseline, n_resamples=n_resamples, random_seed=random_seed, seeds_for_interval=seeds_for_interval
    )
    resampled = summary["resampled"]
    p_value = None
    if resampled is not None:
        p_value = (1 + int((np.round(resampled, DECIMALS) <= 0).sum())) / (n_resamples + 1)
    return {"delta": summary.pop("mean"), "p_value": p_value, "mde": mde(summary["standard_error"]), **summary}


def mde(standard_error: float | None) -> float | None:
    """Minimum detectable effect, in the units of the standard error of delta."""
    return None if standard_error is None else (Z_TEST + Z_POWER) * standard_error


def power(
    effects: np.ndarray, standard_error: float, *, alpha: float, at_least: float | None = None
) -> np.ndarray:
    """Chance, by true effect, that p < alpha and, with `at_least`, that delta reaches it too.

    effects, standard_error, at_least: points. Normal approximation: both conditions are lower bounds of
    one number, the estimate, so that the larger of the two decides.
    """
    needed = NormalDist().inv_cdf(1 - alpha) * standard_error
    if at_least is not None:
        needed = max(needed, at_least)
    return np.array([NormalDist(effect, standard_error).cdf(2 * effect - needed) for effect in effects])


def _counts(draws: np.ndarray) -> np.ndarray:
    """How often each of the n positions was drawn, (size, n) from draws (size, n)."""
    size, n = draws.shape
    return np.bincount((draws + n * np.arange(size)[:, None]).ravel(), minlength=size * n).reshape(size, n)
