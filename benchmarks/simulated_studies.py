"""Simulated studies for the calibration, and the smallest Δ that each test finds significant."""

from __future__ import annotations

import numpy as np

from lib.analysis.bootstrap import resampled_means

ALPHA = 0.05
RESAMPLES = 10_000
PROMPT_SD = 15.0  # points, as the next two
SAMPLE_SD = 25.0
SEED_SD = 3.0
SAMPLES = 50  # per prompt


def noise(
    rng: np.random.Generator,
    prompts: int,
    seeds: int,
    samples: int,
    studies: int,
    prompt_sd: float,
    seed_sd: float,
) -> np.ndarray:
    """Paired differences at Δ = 0: (studies, seeds, prompts), points.

    A prompt's effect is the same in every seed.
    """
    prompt = rng.normal(0, prompt_sd, (studies, 1, prompts))
    seed = rng.normal(0, seed_sd, (studies, seeds, 1))
    of_both_arms = SAMPLE_SD * np.sqrt(2 / samples)
    return prompt + seed + rng.normal(0, of_both_arms, (studies, seeds, prompts))


def thresholds_one_seed(differences: np.ndarray) -> np.ndarray:
    """For each study, the smallest Δ that would be significant. differences: (studies, prompts).

    A resampled mean moves with Δ one to one, so p < α from the Δ on at which fewer than
    α(B + 1) − 1 of them stay ≤ 0: an order statistic. The draws are those of the verdict:
    `resampled_means` with its fixed seed, by linearity.
    """
    prompts = differences.shape[1]
    unit = np.eye(prompts)
    # (prompts, B): the weight of each prompt in each resample.
    weights = np.stack([resampled_means(unit[[i]], RESAMPLES, 0) for i in range(prompts)])
    # The largest number of resamples ≤ 0 with p < α.
    allowed = int(np.ceil(ALPHA * (RESAMPLES + 1) - 1)) - 1
    parts = np.array_split(differences, max(1, len(differences) // 1_000))  # (1000, B) at a time
    ordered = [np.partition(part @ weights, allowed, axis=1)[:, allowed] for part in parts]
    return -np.concatenate(ordered)


def power(threshold: np.ndarray, delta: float) -> float:
    """The share of studies that find an effect of `delta` points."""
    return float((delta > threshold).mean())


def bootstrap_t_threshold(differences: np.ndarray, resamples: int = 2_000) -> np.ndarray:
    """The same for the one-sided bootstrap-t, as a reference: it studentises every resample.

    Efron 1981.
    """
    n = differences.shape[1]
    draws = np.random.default_rng(0).integers(0, n, (resamples, n))
    # (prompts, resamples)
    counts = np.stack([np.bincount(draw, minlength=n) for draw in draws], axis=1) / n
    thresholds = []
    for part in np.array_split(differences, max(1, len(differences) // 1_000)):
        mean = part.mean(1, keepdims=True)
        error = part.std(1, keepdims=True) / np.sqrt(n)
        resampled = part @ counts  # (studies, resamples)
        spread = np.sqrt(np.maximum(part**2 @ counts - resampled**2, 1e-12) / n)
        quantile = np.quantile((resampled - mean) / spread, 1 - ALPHA, axis=1, keepdims=True)
        thresholds.append((quantile * error - mean)[:, 0])
    return np.concatenate(thresholds)


def t_threshold(differences: np.ndarray) -> np.ndarray:
    """The same for the one-sided paired t-test, as a reference."""
    from scipy.stats import t

    n = differences.shape[1]
    return -differences.mean(1) + t.ppf(1 - ALPHA, n - 1) * differences.std(1, ddof=1) / np.sqrt(n)


def one_seed(
    rng: np.random.Generator,
    prompts: int,
    samples: int = SAMPLES,
    studies: int = 20_000,
    shape: str = "normal",
) -> np.ndarray:
    """Studies of one seed: (studies, prompts).

    The seed effect is left out: one seed cannot tell it from Δ (hence the LOW confidence).
    """
    differences = noise(rng, prompts, 1, samples, studies, PROMPT_SD, 0.0)[:, 0]
    # Most prompts hardly move and a few move much: exponential effects with the same sd.
    if shape == "right skew":
        differences = PROMPT_SD * (rng.exponential(1, differences.shape) - 1)
    if shape == "left skew":
        differences = PROMPT_SD * (1 - rng.exponential(1, differences.shape))
    return differences
