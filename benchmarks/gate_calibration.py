"""Calibration of the confirmatory test: type-I error, power over Δ, prompts and seeds, and what to buy next.

    python benchmarks/gate_calibration.py

Scores are simulated as Δ + prompt effect (paired sd 15 points, docs/protocol.md section 10) + seed effect + sampling
noise of both arms (sd of one completion's score 25 points, between the 9 to 37 of published EM models), 50 samples a
prompt. Every simulated study goes through `lib.analysis.bootstrap`, the code of the verdict. Writes docs/power.png and prints the
tables that docs/calibration.md quotes.
"""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.analysis.bootstrap import mde, paired_bootstrap, resampled_means
from lib.config.params import ROOT

ALPHA, RESAMPLES = 0.05, 10_000
PROMPT_SD, SAMPLE_SD, SEED_SD, SAMPLES = 15.0, 25.0, 3.0, 50


def noise(
    rng, prompts: int, seeds: int, samples: int, studies: int, prompt_sd: float, seed_sd: float
) -> np.ndarray:
    """Paired differences at Δ = 0: (studies, seeds, prompts), points. A prompt's effect is the same in every seed."""
    prompt = rng.normal(0, prompt_sd, (studies, 1, prompts))
    seed = rng.normal(0, seed_sd, (studies, seeds, 1))
    return (
        prompt + seed + rng.normal(0, SAMPLE_SD * np.sqrt(2 / samples), (studies, seeds, prompts))
    )


def thresholds_one_seed(differences: np.ndarray) -> np.ndarray:
    """For each study, the smallest Δ that would be significant. differences: (studies, prompts).

    A resampled mean moves with Δ one to one, so p < α from the Δ on at which fewer than α(B + 1) − 1 of them stay ≤ 0:
    an order statistic. The draws are those of the verdict: resampled_means with its fixed seed, by linearity.
    """
    prompts = differences.shape[1]
    weights = np.stack(
        [resampled_means(np.eye(prompts)[[i]], RESAMPLES, 0) for i in range(prompts)]
    )  # (prompts, B)
    allowed = (
        int(np.ceil(ALPHA * (RESAMPLES + 1) - 1)) - 1
    )  # largest number of resamples ≤ 0 with p < α
    parts = np.array_split(differences, max(1, len(differences) // 1_000))  # (1000, B) at a time
    return -np.concatenate(
        [np.partition(part @ weights, allowed, axis=1)[:, allowed] for part in parts]
    )


def power(threshold: np.ndarray, delta: float) -> float:
    return float((delta > threshold).mean())


def bootstrap_t_threshold(differences: np.ndarray, resamples: int = 2_000) -> np.ndarray:
    """The same for the one-sided bootstrap-t (Efron 1981), as a reference: it studentises every resample."""
    n = differences.shape[1]
    draws = np.random.default_rng(0).integers(0, n, (resamples, n))
    counts = (
        np.stack([np.bincount(draw, minlength=n) for draw in draws], axis=1) / n
    )  # (prompts, resamples)
    thresholds = []
    for part in np.array_split(differences, max(1, len(differences) // 1_000)):
        mean, error = part.mean(1, keepdims=True), part.std(1, keepdims=True) / np.sqrt(n)
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
    rng, prompts: int, samples: int = SAMPLES, studies: int = 20_000, shape: str = "normal"
) -> np.ndarray:
    """Studies of one seed; the seed effect is left out: one seed cannot tell it from Δ (hence the LOW confidence)."""
    differences = noise(rng, prompts, 1, samples, studies, PROMPT_SD, 0.0)[:, 0]
    # Most prompts hardly move and a few move much, up or down: exponential effects with the same sd.
    if shape == "right skew":
        differences = PROMPT_SD * (rng.exponential(1, differences.shape) - 1)
    if shape == "left skew":
        differences = PROMPT_SD * (1 - rng.exponential(1, differences.shape))
    return differences


def many_seeds(
    rng, prompts: int, seeds: int, studies: int, resamples: int = 2_000
) -> tuple[float, float]:
    """Type-I error and power at Δ = 10 of the two-level bootstrap."""
    hits = {0: 0, 10: 0}
    for study in noise(rng, prompts, seeds, SAMPLES, studies, PROMPT_SD, SEED_SD):
        for delta in hits:
            options = {"n_resamples": resamples, "random_seed": 0}
            p = paired_bootstrap(study + delta, np.zeros_like(study), **options).p_value
            hits[delta] += p < ALPHA
    return hits[0] / studies, hits[10] / studies


def false_alarms(rng, seeds: int, seed_sd: float, prompts: int = 44, studies: int = 4_000) -> float:
    """Type-I error over studies that train anew: the method has no effect, yet seeds scatter by `seed_sd` points.

    Below five seeds the verdict's interval is over prompts only, so the seeds' scatter is not in it.
    """
    study = noise(rng, prompts, seeds, SAMPLES, studies, PROMPT_SD, seed_sd)
    if seeds < 5:
        return power(thresholds_one_seed(study.mean(1)), 0.0)
    zero = np.zeros(study.shape[1:])
    found = [paired_bootstrap(one, zero, n_resamples=2_000, random_seed=0).p_value for one in study]
    return float((np.array(found) < ALPHA).mean())


def figure(curves: dict[str, list[float]], deltas: np.ndarray) -> None:
    plot, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, values in curves.items():
        axis.plot(deltas, values, label=name)
    axis.axhline(0.8, color="#6b7280", linestyle=":", linewidth=1)
    axis.set(xlabel="true Δ, points", ylabel="share of studies with p < 0.05", ylim=(0, 1))
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    plot.savefig(ROOT / "docs" / "power.png", dpi=130)


def main() -> None:
    rng, started = np.random.default_rng(1), time.time()
    rows = []
    for prompts in (20, 44, 100, 200):
        for shape in ("normal", "right skew", "left skew"):
            d = one_seed(rng, prompts, shape=shape)
            threshold, reference = thresholds_one_seed(d), t_threshold(d)
            studentised = bootstrap_t_threshold(d)
            rows.append(
                {
                    "prompts": prompts,
                    "effects": shape,
                    "type I, bootstrap": power(threshold, 0.0),
                    "type I, t-test": power(reference, 0.0),
                    "type I, bootstrap-t": power(studentised, 0.0),
                    "power at 5": power(threshold, 5.0),
                    "power at 10": power(threshold, 10.0),
                }
            )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))
    print(f"simulation error of a share near 0.05: ±{1.96 * (0.05 * 0.95 / 20_000) ** 0.5:.3f}")

    rows = [
        {"seeds": seeds}
        | {f"sd {sd:g}": false_alarms(rng, seeds, sd) for sd in (0.0, 2.0, 4.0, 8.0)}
        for seeds in (1, 2, 3, 4, 5)
    ]
    print("type I over studies that train anew, by seeds and the scatter of seeds in points")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))

    deltas = np.linspace(0, 20, 41)
    curves = {}
    for prompts, samples in ((20, SAMPLES), (44, SAMPLES), (44, 10 * SAMPLES), (100, SAMPLES)):
        threshold = thresholds_one_seed(one_seed(rng, prompts, samples))
        curves[f"{prompts} prompts × {samples}"] = [power(threshold, delta) for delta in deltas]
    figure(curves, deltas)

    rows = []
    for seeds in (5, 10):
        false, true = many_seeds(rng, 44, seeds, 4_000)
        rows.append(
            {"seeds": seeds, "prompts": 44, "type I, two-level": false, "power at 10": true}
        )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))
    print(f"simulation error of a share near 0.05: ±{1.96 * (0.05 * 0.95 / 4_000) ** 0.5:.3f}")

    rows = []
    for name, (prompts, seeds, samples) in {
        "44 prompts × 50": (44, 1, 50),
        "ten times the samples": (44, 1, 500),
        "twice the prompts": (88, 1, 50),
        "five seeds": (44, 5, 50),
    }.items():
        # Over prompts and seeds; one seed's interval cannot see the seed's share of the error.
        variance = (
            PROMPT_SD**2 / prompts
            + SEED_SD**2 / seeds
            + 2 * SAMPLE_SD**2 / (samples * prompts * seeds)
        )
        rows.append(
            {
                "design": name,
                "standard error, points": variance**0.5,
                "detectable, points": mde(variance**0.5),
            }
        )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.2f}".format))
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
