"""Rates and accuracies: their errors are those of prompts and items, not of answers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from studies import (
    BASELINE,
    LEVELS,
    TREATMENT,
    make_judgments,
    pick,
    run,
)

from lib.analysis.arms import reflex_rates
from lib.analysis.bootstrap import Resampling

# Rates over completions that are alike within a prompt


@pytest.mark.parametrize("samples", [4, 50])
def test_a_rates_interval_does_not_shrink_with_samples_of_the_same_prompts(samples):
    """Half of the prompts always do it, half never: the prompts are uncertain, not the answers."""
    frame = make_judgments(samples=samples, prompts=20)
    rows = pick(frame, TREATMENT)
    number = frame["prompt_id"].str.removeprefix("p").astype(int)
    frame.loc[rows, "reset_and_recover"] = (number % 2 == 0)[rows]
    rate = run(frame, reflex_subset=None, n_resamples=4000).arms[TREATMENT].semantic
    assert rate.share == pytest.approx(0.5) and rate.n == 20 * samples
    half = (rate.ci95[1] - rate.ci95[0]) / 2
    assert half == pytest.approx(1.96 * 0.5 / math.sqrt(20), rel=0.15)


@pytest.mark.parametrize("correlation", [0.05, 0.20])
def test_a_rates_interval_covers_when_answers_to_a_prompt_are_alike(correlation):
    """Beta-binomial answers, 44 prompts × 50: Wilson's interval covers 0.70 and 0.43 of them."""
    rng = np.random.default_rng(3)
    mean = 0.3
    spread = 1 / correlation - 1
    covered = []
    for _ in range(60):
        by_prompt = rng.beta(mean * spread, (1 - mean) * spread, 44)
        hits = rng.random((44, 50)) < by_prompt[:, None]
        rows = pd.DataFrame(
            {
                "condition": TREATMENT,
                "seed": 1,
                "prompt_id": np.repeat([f"p{i}" for i in range(44)], 50),
                "literal": hits.ravel().astype(float),
            }
        )
        options = Resampling(n_resamples=500, random_seed=0, seeds_for_interval=5)
        rate = reflex_rates(rows, 0.95, options).literal
        covered.append(rate.ci95[0] <= mean <= rate.ci95[1])
    assert np.mean(covered) >= 0.85


# Capability over seeds: the items are the same


def seeds_alike(arms, seeds, n=400, share=0.5):
    """Accuracy of arms whose answers to an item hardly differ between seeds; items are optional."""
    rng = np.random.default_rng(5)
    base = rng.random(n) < share
    rows = []
    for arm in arms:
        for seed in seeds:
            flip = rng.random(n) < 0.02
            answers = np.where(flip, ~base, base).astype(float)
            items = {f"q{i}": [float(a), 0.0] for i, a in enumerate(answers)}
            rows.append(
                {
                    "seed": seed,
                    "condition": arm,
                    "acc": answers.mean(),
                    "acc_stderr": answers.std(ddof=1) / math.sqrt(n),
                    "acc_norm": 0.5,
                    "n": n,
                    "items": items,
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("seeds", "items"), [((1, 2, 3, 4, 5), True), ((1, 2, 3, 4, 5), False), ((1, 2), True)]
)
def test_the_error_of_an_accuracy_over_seeds_is_that_of_its_items(seeds, items):
    capability = seeds_alike(LEVELS, seeds)
    if not items:
        capability = capability.drop(columns="items")
    error = run(make_judgments(seeds), capability).arms[TREATMENT].acc_stderr
    # Of 400 items at 0.5, whatever the number of seeds.
    assert error == pytest.approx(0.025, rel=0.05)


def test_paired_item_differences_are_averaged_over_seeds_first():
    seeds = (1, 2, 3, 4, 5)
    capability = seeds_alike(LEVELS, seeds)
    of = {
        (row.condition, row.seed): np.array([v[0] for v in row.items])
        for row in capability.rename(columns={"items": "scores"})
        .assign(items=lambda t: t["scores"].map(lambda d: list(d.values())))
        .itertuples(index=False)
    }
    differences = np.mean([of[TREATMENT, s] - of[BASELINE, s] for s in seeds], axis=0)
    found = run(make_judgments(seeds), capability).acc_differences.treatment_minus_baseline
    assert found.paired and found.stderr == pytest.approx(differences.std(ddof=1) / math.sqrt(400))
