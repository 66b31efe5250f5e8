"""The confirmatory test: its interval, p, detectable effect and power."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis.bootstrap import mde, paired_bootstrap, power, resampled_means


@pytest.mark.parametrize("n_prompts", [2, 44, 60])
def test_interval_is_scipys_on_the_same_resamples(n_prompts):
    rng = np.random.default_rng(n_prompts)
    treatment, baseline = rng.uniform(0, 100, (2, n_prompts))
    ours = paired_bootstrap(treatment, baseline, n_resamples=3000, random_seed=11)
    scipys = scipy.stats.bootstrap(
        (treatment, baseline),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=3000,
        rng=np.random.default_rng(11),
    )
    assert ours.ci95 == pytest.approx(list(scipys.confidence_interval), abs=1e-10)
    np.testing.assert_allclose(ours.resampled, scipys.bootstrap_distribution, atol=1e-10)


def test_p_value_and_mde_follow_their_definitions():
    difference = np.random.default_rng(3).normal(2, 15, 44)
    ours = paired_bootstrap(difference + 50, np.full(44, 50.0), n_resamples=999, random_seed=5)
    draws = difference[np.random.default_rng(5).integers(0, 44, (999, 44))].mean(axis=1)
    assert ours.p_value == (1 + (draws <= 0).sum()) / 1000
    assert ours.delta == pytest.approx(difference.mean())
    assert ours.mde == pytest.approx((1.645 + 0.842) * difference.std(ddof=1) / math.sqrt(44))
    # A bound on delta counts only where it lies above what p asks.
    assert mde(1.0, 5.0) == pytest.approx(5.842) and mde(4.0, 5.0) == mde(4.0)
    assert mde(None, 5.0) is None
    assert mde(15 / math.sqrt(44)) == pytest.approx(5.62, abs=0.01)  # section 10: "about 6 points"


def test_no_difference_at_all_has_p_one_and_a_sure_one_the_smallest_p():
    flat = np.linspace(10, 90, 20)
    assert paired_bootstrap(flat, flat, n_resamples=99).p_value == 1
    dusty = flat + 0.1 + 0.2 - 0.3  # float dust is not an effect
    assert paired_bootstrap(dusty, flat, n_resamples=99).p_value == 1
    assert paired_bootstrap(flat + 1, flat, n_resamples=99).p_value == 1 / 100


def test_one_prompt_gives_no_interval_and_no_p():
    single = paired_bootstrap([80.0], [20.0])
    assert single.delta == 60 and single.p_value is single.ci95 is single.mde is None


@pytest.mark.parametrize("bad", [([1.0, np.nan], [1.0, 2.0]), ([1.0, 2.0], [1.0])])
def test_gaps_and_unpaired_arms_are_errors(bad):
    with pytest.raises(ValueError, match=r"prompts|pair"):
        paired_bootstrap(*map(np.array, bad), n_resamples=10)


def test_chunks_change_nothing(monkeypatch):
    matrix = np.random.default_rng(0).normal(size=(6, 13))
    for with_seeds in (False, True):
        monkeypatch.setattr("lib.analysis.bootstrap.CHUNK", 1 << 20)
        whole = resampled_means(matrix, 500, 3, with_seeds=with_seeds)
        monkeypatch.setattr("lib.analysis.bootstrap.CHUNK", 13 * 7)
        np.testing.assert_allclose(
            resampled_means(matrix, 500, 3, with_seeds=with_seeds), whole, atol=1e-12
        )


def test_seeds_and_prompts_are_resampled_independently():
    seed_effect = np.array([[-30], [0], [0], [0], [30]])
    prompt_effect = np.random.default_rng(1).normal(0, 5, 40)
    matrix = seed_effect + prompt_effect
    crossed = paired_bootstrap(matrix, np.zeros_like(matrix), n_resamples=4000)
    assert crossed.interval_over == "prompts and seeds"
    expected = math.sqrt(seed_effect.var() / 5 + prompt_effect.var() / 40)
    assert crossed.standard_error == pytest.approx(expected, rel=0.05)
    few = paired_bootstrap(matrix[:4], np.zeros((4, 40)), n_resamples=4000)
    assert few.interval_over == "prompts"
    assert few.standard_error == pytest.approx(prompt_effect.std(ddof=1) / math.sqrt(40))


def test_power_of_the_verdict_needs_the_estimate_above_five_as_well():
    effects = np.array([0.0, 5.0, 10.0])
    by_p = power(effects, 2.0, alpha=0.05)
    supported = power(effects, 2.0, alpha=0.05, at_least=5.0)
    assert by_p == pytest.approx(scipy.stats.norm.sf(1.6448536 - effects / 2), abs=1e-6)
    assert supported == pytest.approx(scipy.stats.norm.sf((5 - effects) / 2), abs=1e-9)
    wide = 4.0  # here p asks for more than +5, and both powers are one
    assert power(effects, wide, alpha=0.05, at_least=5.0) == pytest.approx(
        power(effects, wide, alpha=0.05)
    )


def test_the_90_percent_interval_is_the_one_sided_tests():
    difference = np.random.default_rng(8).normal(3, 15, 44)
    found = paired_bootstrap(difference + 50, np.full(44, 50.0), n_resamples=4000)
    assert found.ci95[0] < found.ci90[0] < found.ci90[1] < found.ci95[1]
    assert (found.ci90[0] > 0) == (found.p_value < 0.05)
    shifted = paired_bootstrap(
        difference - difference.mean() + 53.2, np.full(44, 50.0), n_resamples=4000
    )
    assert (shifted.ci90[0] > 0) == (shifted.p_value < 0.05)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=12),
    st.integers(0, 9),
)
def test_bootstrap_properties(pairs, random_seed):
    treatment, baseline = np.array(pairs).T
    found = paired_bootstrap(treatment, baseline, n_resamples=50, random_seed=random_seed)
    difference = treatment - baseline
    assert 1 / 51 <= found.p_value <= 1
    assert difference.min() - 1e-9 <= found.ci95[0] <= found.ci95[1] <= difference.max() + 1e-9
    shifted = paired_bootstrap(treatment + 7, baseline, n_resamples=50, random_seed=random_seed)
    assert shifted.ci95 == pytest.approx([bound + 7 for bound in found.ci95])
    assert shifted.p_value <= found.p_value
