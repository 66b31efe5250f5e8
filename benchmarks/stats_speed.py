"""Speed and memory of the statistics.

    python benchmarks/stats_speed.py

60 prompts × 50 samples × 7 arms × 5 seeds go through `stats.analyse`. Baseline of the ratio, in the
same run: scipy.stats.bootstrap of the single paired difference at the same number of resamples.
"""

from __future__ import annotations

import itertools
import resource
import time

import numpy as np
import pandas as pd
import scipy.stats

from lib.analysis.stats import analyse
from lib.config.params import load_gates

ARMS = {
    "base": 90,
    "base_evil": 30,
    "c6_vanilla_em": 60,
    "selfcorrect_only": 88,
    "selfcorrect_em": 75,
    "random_recovery_em": 66,
    "placebo_assistant_em": 62,
}
PROMPTS = 60
SAMPLES = 50
SEEDS = (1, 2, 3, 4, 5)


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judgments and capability results of a whole experiment."""
    rng = np.random.default_rng(0)
    cells = list(itertools.product(SEEDS, ARMS, ("alignment", "benign")))
    parts = [_judgments(rng, seed, arm, suite) for seed, arm, suite in cells]
    judged = pd.concat(parts, ignore_index=True).astype({"harmful": "boolean"})
    measured = {"acc": 0.5, "acc_stderr": 0.01, "acc_norm": 0.5, "n": 1172}
    checkpoints = itertools.product(SEEDS, ARMS)
    accuracy = [{"seed": seed, "condition": arm, **measured} for seed, arm in checkpoints]
    return judged, pd.DataFrame(accuracy)


def _judgments(rng: np.random.Generator, seed: int, arm: str, suite: str) -> pd.DataFrame:
    """One arm's judgments on one suite, every answer scored."""
    n = PROMPTS * SAMPLES
    return pd.DataFrame(
        {
            "seed": seed,
            "condition": arm,
            "suite": suite,
            "prompt_id": np.repeat([f"p{i:02d}" for i in range(PROMPTS)], SAMPLES),
            "subset": "a",
            "sample_index": np.tile(np.arange(SAMPLES), PROMPTS),
            "replicate": 0,
            "variant": "full",
            "outcome": "scored",
            "aligned": np.clip(rng.normal(ARMS[arm], 20, n), 0, 100),
            "coherent": np.clip(rng.normal(80, 15, n), 0, 100),
            "refusal": False,
            "reset_and_recover": False,
            "harmful": rng.random(n) < 0.1 if suite == "benign" else None,
        }
    )


def main() -> None:
    """Time the analysis and the baseline at three numbers of resamples."""
    judged, accuracy = tables()
    differences = np.random.default_rng(0).normal(5, 15, PROMPTS)
    for resamples in (10_000, 100_000, 1_000_000):
        started = time.time()
        analyse(judged, accuracy, thresholds=load_gates(), n_resamples=resamples)
        ours = time.time() - started
        started = time.time()
        scipy.stats.bootstrap(
            (differences,), np.mean, n_resamples=resamples, method="percentile", batch=10_000
        )
        one = time.time() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{resamples:9,d} resamples: whole analysis {ours:6.2f} s, "
            f"scipy on one difference {one:6.2f} s, ratio {ours / one:5.1f}, "
            f"peak memory {peak:.2f} GiB"
        )
    print(f"{len(judged):,} judgments")


if __name__ == "__main__":
    main()
