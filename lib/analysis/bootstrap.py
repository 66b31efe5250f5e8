"""Bootstrap of means of per-prompt means, over prompts or over seeds and prompts.

docs/protocol.md section 6. A matrix here is always (seeds, prompts) and complete: prompts without
completions are taken out before (`lib.analysis.pairs`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lib.analysis.limits import DECIMALS
from lib.analysis.plain import by_name

LEVEL = (2.5, 97.5)  # percentile 95 % interval
LEVEL_90 = (5, 95)  # its lower end is what a one-sided test at 5 % asks
Z_TEST = 1.645  # one-sided 5 %
Z_POWER = 0.842  # power 80 %
Z_INTERVAL = 1.959963984540054  # two-sided 95 % normal quantile
CHUNK = 1 << 20  # elements drawn at a time: about 16 MB, whatever the number of resamples


def resampled_means(
    matrix: np.ndarray, n_resamples: int, random_seed: int, *, with_seeds: bool = False
) -> np.ndarray:
    """Grand means of resampled matrices, shape (n_resamples,).

    Prompts are drawn with replacement. With `with_seeds`, seeds are drawn as well, independently of
    the prompts (crossed, not nested). Prompts are drawn from `default_rng(random_seed)` in the
    order of scipy.stats.bootstrap, and seeds from a generator of their own. So the drawn prompts
    depend neither on the chunk size nor on `with_seeds`.

    Raises ValueError without a resample, and if the matrix is empty or has gaps.
    """
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    if n_resamples < 1 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise ValueError(
            f"bootstrap of a {matrix.shape} matrix, {n_resamples} resamples: it needs one resample "
            "or more and a complete matrix of numbers; let prompts without completions leave first"
        )
    n_seeds, n_prompts = matrix.shape
    draw_prompts = np.random.default_rng(random_seed)
    draw_seeds = np.random.default_rng([random_seed, 1])
    by_prompt = matrix.mean(axis=0)
    step = max(1, CHUNK // n_prompts)
    means = np.empty(n_resamples)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        prompts = draw_prompts.integers(0, n_prompts, (size, n_prompts))
        if with_seeds:
            seeds = draw_seeds.integers(0, n_seeds, (size, n_seeds))
            # (size, prompts): each resample's mean over its seeds.
            over_seeds = _counts(seeds) @ matrix / n_seeds
            drawn = np.take_along_axis(over_seeds, prompts, axis=1)
            means[start : start + size] = drawn.mean(axis=1)
        else:
            means[start : start + size] = by_prompt[prompts].mean(axis=1)
    return means


@dataclass(frozen=True)
class Resampling:
    """How intervals are made; the defaults are the pre-registered ones."""

    n_resamples: int = 10_000
    random_seed: int = 0
    seeds_for_interval: int = 5  # below it, prompts alone are resampled


@dataclass(frozen=True)
class MeanInterval:
    """A mean over seeds and prompts with its percentile intervals."""

    mean: float | None  # None of an empty matrix
    ci95: list[float] | None  # lower and upper end; None below two prompts, like all below
    ci90: list[float] | None
    interval_over: str | None  # "prompts", or "prompts and seeds"
    n_prompts: int
    n_seeds: int
    standard_error: float | None
    resampled: np.ndarray | None  # resampled means, (n_resamples,)


@dataclass(frozen=True)
class PairedTest(MeanInterval):
    """The mean of treatment - baseline with its one-sided test."""

    p_value: float | None  # None below two prompts
    mde: float | None  # minimum detectable effect, in the units of the mean

    @property
    def delta(self) -> float | None:
        """The mean difference, under its name in the report."""
        return self.mean


def mean_interval(matrix: np.ndarray, resampling: Resampling) -> MeanInterval:
    """The mean of a matrix (seeds, prompts) with its intervals.

    Below `seeds_for_interval` seeds they are over prompts only. Below two prompts there are none.
    """
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    n_seeds, n_prompts = matrix.shape
    with_seeds = n_seeds >= resampling.seeds_for_interval
    ci95 = ci90 = over = error = resampled = None
    if n_prompts >= 2 and n_seeds >= 1:
        resampled = resampled_means(
            matrix, resampling.n_resamples, resampling.random_seed, with_seeds=with_seeds
        )
        ci95 = [float(bound) for bound in np.percentile(resampled, LEVEL)]
        ci90 = [float(bound) for bound in np.percentile(resampled, LEVEL_90)]
        over = "prompts and seeds" if with_seeds else "prompts"
        # Over prompts alone the standard error has its textbook form; with seeds it is the spread
        # of the resamples.
        by_prompt = matrix.mean(axis=0)
        error = resampled.std() if with_seeds else by_prompt.std(ddof=1) / math.sqrt(n_prompts)
    return MeanInterval(
        mean=float(matrix.mean()) if matrix.size else None,
        ci95=ci95,
        ci90=ci90,
        interval_over=over,
        n_prompts=n_prompts,
        n_seeds=n_seeds,
        standard_error=None if error is None else float(error),
        resampled=resampled,
    )


def paired_bootstrap(
    treatment: np.ndarray,
    baseline: np.ndarray,
    *,
    n_resamples: int = 10_000,
    random_seed: int = 0,
    seeds_for_interval: int = 5,
) -> PairedTest:
    """The confirmatory test: the mean of treatment - baseline, with p and detectable effect.

    treatment, baseline: per-prompt means, (prompts,) or (seeds, prompts), same order, points 0-100.
    One-sided p = (1 + #{resampled delta <= 0}) / (resamples + 1), resampled deltas rounded to 1e-9.
    Raises ValueError on shapes that differ or on gaps.
    """
    treatment = np.asarray(treatment, dtype=float)
    baseline = np.asarray(baseline, dtype=float)
    if treatment.shape != baseline.shape:
        raise ValueError(
            f"paired arms have shapes {treatment.shape} and {baseline.shape}; pair them first"
        )
    resampling = Resampling(n_resamples, random_seed, seeds_for_interval)
    summary = mean_interval(treatment - baseline, resampling)
    p_value = None
    if summary.resampled is not None:
        not_above = int((np.round(summary.resampled, DECIMALS) <= 0).sum())
        p_value = (1 + not_above) / (n_resamples + 1)
    return PairedTest(**by_name(summary), p_value=p_value, mde=mde(summary.standard_error))


def mde(standard_error: float | None, at_least: float | None = None) -> float | None:
    """Minimum detectable effect, in the units of the standard error of delta.

    at_least: what delta has to reach besides p < 0.05, in the same units.
    """
    if standard_error is None:
        return None
    needed = Z_TEST * standard_error
    if at_least is not None and at_least > needed:
        return at_least + Z_POWER * standard_error
    return (Z_TEST + Z_POWER) * standard_error


def power(
    effects: np.ndarray, standard_error: float, *, alpha: float, at_least: float | None = None
) -> np.ndarray:
    """Chance, by true effect, that p < alpha and, with `at_least`, that delta reaches it too.

    Normal approximation: both conditions are lower bounds of one number, the estimate, so the
    larger of the two decides.

    Args:
        effects, standard_error, at_least: points.
    """
    needed = NormalDist().inv_cdf(1 - alpha) * standard_error
    if at_least is not None:
        needed = max(needed, at_least)
    return np.array(
        [NormalDist(effect, standard_error).cdf(2 * effect - needed) for effect in effects]
    )


def _counts(draws: np.ndarray) -> np.ndarray:
    """How often each of the n positions was drawn, (size, n) from draws (size, n)."""
    size, n = draws.shape
    cells = draws + n * np.arange(size)[:, None]
    counts = np.bincount(cells.ravel(), minlength=size * n)
    return counts.reshape(size, n)
