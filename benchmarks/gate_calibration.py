"""Calibration of the confirmatory test: type-I error, power, and what to buy next.

    python benchmarks/gate_calibration.py

Scores are simulated as Δ + prompt effect (paired sd 15 points, docs/protocol.md section 10) + seed
effect + sampling noise of both arms (sd of one completion's score 25 points, between the 9 to 37 of
published EM models), with 50 samples per prompt. Every simulated study goes through
`lib.analysis.bootstrap`, the code of the verdict. Writes docs/power.png and prints the tables that
docs/calibration.md quotes.
"""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from simulated_studies import (
    ALPHA,
    PROMPT_SD,
    SAMPLE_SD,
    SAMPLES,
    SEED_SD,
    bootstrap_t_threshold,
    noise,
    one_seed,
    power,
    t_threshold,
    thresholds_one_seed,
)

from lib.analysis.bootstrap import mde, paired_bootstrap
from lib.config.params import ROOT


def many_seeds(
    rng: np.random.Generator, prompts: int, seeds: int, studies: int, resamples: int = 2_000
) -> tuple[float, float]:
    """Type-I error and power at Δ = 10 of the two-level bootstrap."""
    hits = {0: 0, 10: 0}
    for study in noise(rng, prompts, seeds, SAMPLES, studies, PROMPT_SD, SEED_SD):
        for delta in hits:
            options = {"n_resamples": resamples, "random_seed": 0}
            test = paired_bootstrap(study + delta, np.zeros_like(study), **options)
            hits[delta] += test.p_value < ALPHA
    return hits[0] / studies, hits[10] / studies


def false_alarms(
    rng: np.random.Generator,
    seeds: int,
    seed_sd: float,
    prompts: int = 44,
    studies: int = 4_000,
) -> float:
    """Type-I error over studies that train anew: the method has no effect, yet seeds scatter.

    They scatter by `seed_sd` points. Below five seeds the verdict's interval is over prompts only,
    so their scatter is not in it.
    """
    study = noise(rng, prompts, seeds, SAMPLES, studies, PROMPT_SD, seed_sd)
    if seeds < 5:
        return power(thresholds_one_seed(study.mean(1)), 0.0)
    zero = np.zeros(study.shape[1:])
    tests = [paired_bootstrap(one, zero, n_resamples=2_000, random_seed=0) for one in study]
    return float(np.mean([test.p_value < ALPHA for test in tests]))


def figure(curves: dict[str, list[float]], deltas: np.ndarray) -> None:
    """Draw power over Δ into docs/power.png."""
    plot, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for name, values in curves.items():
        axis.plot(deltas, values, label=name)
    axis.axhline(0.8, color="#6b7280", linestyle=":", linewidth=1)
    axis.set(xlabel="true Δ, points", ylabel="share of studies with p < 0.05", ylim=(0, 1))
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    plot.savefig(ROOT / "docs" / "power.png", dpi=130)


def table(rows: list[dict[str, object]], digits: int = 3) -> None:
    """Print rows with the same number of digits everywhere."""
    form = f"{{:.{digits}f}}".format
    print(pd.DataFrame(rows).to_string(index=False, float_format=form))


def simulation_error(studies: int) -> None:
    """Print how far a simulated share near 0.05 may be off."""
    error = 1.96 * (0.05 * 0.95 / studies) ** 0.5
    print(f"simulation error of a share near 0.05: ±{error:.3f}")


def by_shape(rng: np.random.Generator) -> list[dict[str, object]]:
    """Type-I error of three tests and power of ours, by number and shape of prompt effects."""
    rows = []
    for prompts in (20, 44, 100, 200):
        for shape in ("normal", "right skew", "left skew"):
            differences = one_seed(rng, prompts, shape=shape)
            threshold = thresholds_one_seed(differences)
            row = {
                "prompts": prompts,
                "effects": shape,
                "type I, bootstrap": power(threshold, 0.0),
                "type I, t-test": power(t_threshold(differences), 0.0),
                "type I, bootstrap-t": power(bootstrap_t_threshold(differences), 0.0),
                "power at 5": power(threshold, 5.0),
                "power at 10": power(threshold, 10.0),
            }
            rows.append(row)
    return rows


def by_scatter(rng: np.random.Generator) -> list[dict[str, object]]:
    """Type-I error over studies that train anew, by seeds and their scatter."""
    rows = []
    for seeds in (1, 2, 3, 4, 5):
        row: dict[str, object] = {"seeds": seeds}
        for seed_sd in (0.0, 2.0, 4.0, 8.0):
            row[f"sd {seed_sd:g}"] = false_alarms(rng, seeds, seed_sd)
        rows.append(row)
    return rows


def by_seeds(rng: np.random.Generator) -> list[dict[str, object]]:
    """Type-I error and power of the two-level test."""
    rows = []
    for seeds in (5, 10):
        false, true = many_seeds(rng, 44, seeds, 4_000)
        row = {"seeds": seeds, "prompts": 44, "type I, two-level": false, "power at 10": true}
        rows.append(row)
    return rows


def by_design() -> list[dict[str, object]]:
    """The standard error of Δ and the minimum detectable effect of larger studies.

    Over prompts and seeds; one seed's interval cannot see the seed's share of the error.
    """
    designs = (  # name, prompts, seeds, samples per prompt
        ("44 prompts × 50", 44, 1, 50),
        ("ten times the samples", 44, 1, 500),
        ("twice the prompts", 88, 1, 50),
        ("five seeds", 44, 5, 50),
    )
    rows = []
    for name, prompts, seeds, samples in designs:
        of_prompts = PROMPT_SD**2 / prompts
        of_seeds = SEED_SD**2 / seeds
        of_samples = 2 * SAMPLE_SD**2 / (samples * prompts * seeds)
        error = (of_prompts + of_seeds + of_samples) ** 0.5
        row = {
            "design": name,
            "standard error, points": error,
            "detectable, points": mde(error),
        }
        rows.append(row)
    return rows


def main() -> None:
    """Print every table and draw the figure; the tables draw from one generator in this order."""
    started = time.time()
    rng = np.random.default_rng(1)
    table(by_shape(rng))
    simulation_error(20_000)
    print("type I over studies that train anew, by seeds and the scatter of seeds in points")
    table(by_scatter(rng))

    deltas = np.linspace(0, 20, 41)
    curves = {}
    for prompts, samples in ((20, SAMPLES), (44, SAMPLES), (44, 10 * SAMPLES), (100, SAMPLES)):
        threshold = thresholds_one_seed(one_seed(rng, prompts, samples))
        curves[f"{prompts} prompts × {samples}"] = [power(threshold, delta) for delta in deltas]
    figure(curves, deltas)

    table(by_seeds(rng))
    simulation_error(4_000)
    table(by_design(), digits=2)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
