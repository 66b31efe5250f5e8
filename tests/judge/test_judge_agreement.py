"""Agreement statistics against published examples and plain definitions.

Intervals resample whole prompts.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, roc_auc_score

from lib.judge.trust import agreement

GAP = np.nan


@pytest.mark.parametrize(
    ("raters", "alpha"),
    [
        # Krippendorff 2011, two observers and binary data, for which all metrics are the same
        ([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], 0.095),
        # Krippendorff 2011, four observers with gaps, interval metric
        (
            [
                [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
                [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
                [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
                [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
            ],
            0.849,
        ),
    ],
)
def test_alpha_of_published_examples(raters, alpha):
    assert agreement.krippendorff_alpha(*map(np.array, raters)) == pytest.approx(alpha, abs=5e-4)


def test_alpha_at_its_ends():
    scores = np.array([10.0, 50.0, 90.0, 30.0])
    assert agreement.krippendorff_alpha(scores, scores) == 1
    assert agreement.krippendorff_alpha(scores, 100 - scores) < 0
    rng = np.random.default_rng(0)
    assert abs(agreement.krippendorff_alpha(rng.random(4000), rng.random(4000))) < 0.05
    # A judge that is thirty points kinder agrees in rank and not in α.
    assert agreement.spearman(scores, scores + 30) == pytest.approx(1)
    assert agreement.krippendorff_alpha(scores, scores + 30) < 0.8


@pytest.mark.parametrize(
    "raters", [([1.0], [1.0]), ([5.0, 5.0], [5.0, 5.0]), ([1.0, GAP], [GAP, 2.0]), ([], [])]
)
def test_alpha_without_units_or_spread_is_missing(raters):
    assert np.isnan(agreement.krippendorff_alpha(*map(np.array, raters)))


def test_statistics_are_those_of_the_libraries():
    rng = np.random.default_rng(1)
    bad = rng.random(300) < 0.3
    score = rng.integers(0, 20, 300).astype(float)
    truth = rng.integers(0, 9, 300)
    assert agreement.auroc(bad, score) == pytest.approx(roc_auc_score(bad, score))
    assert agreement.spearman(score, truth) == pytest.approx(spearmanr(score, truth)[0])
    assert agreement.f1(bad, score > 12) == pytest.approx(f1_score(bad, score > 12))
    curve = np.array(agreement.roc(bad, score))
    assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1]
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(
        roc_auc_score(bad, -score), abs=1e-3
    )


def test_one_class_or_no_spread_has_no_value():
    assert np.isnan(agreement.auroc(np.ones(3, bool), np.arange(3.0)))
    assert np.isnan(agreement.spearman(np.ones(3), np.arange(3.0)))
    assert np.isnan(agreement.f1(np.zeros(3, bool), np.zeros(3, bool)))


def clustered(n_clusters, size, seed=0):
    """Rows whose noise belongs to the cluster: a hundred copies of a prompt count as one."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n_clusters)
    judged = truth + 0.5 * rng.standard_normal(n_clusters)
    columns = {"a": truth, "b": judged, "cluster": np.arange(n_clusters)}
    return pd.DataFrame({name: np.repeat(values, size) for name, values in columns.items()})


def test_intervals_resample_prompts_and_not_rows():
    once, often = (
        agreement.estimate(agreement.spearman, clustered(20, size), ("a", "b"), "cluster")
        for size in (1, 50)
    )
    assert often["n"] == 1000 and often["n_clusters"] == 20
    width = [found["ci95"][1] - found["ci95"][0] for found in (once, often)]
    assert width[1] == pytest.approx(width[0], rel=0.1), (
        "copies of an answer must not narrow the interval"
    )
    assert once["ci95"][0] < once["value"] < once["ci95"][1]
    assert agreement.estimate(agreement.spearman, clustered(20, 1), ("a", "b"), "cluster") == once


def test_no_interval_from_few_prompts_and_none_where_resamples_lose_a_class():
    assert (
        agreement.estimate(agreement.spearman, clustered(4, 50), ("a", "b"), "cluster")["ci95"]
        is None
    )
    rows = clustered(8, 5).assign(bad=lambda t: t["cluster"] == 0)
    found = agreement.estimate(agreement.auroc, rows, ("bad", "b"), "cluster")
    assert found["value"] is not None and found["ci95"] is None
    assert agreement.estimate(agreement.auroc, rows.iloc[:0], ("bad", "b"), "cluster") == {
        "value": None,
        "ci95": None,
        "n": 0,
        "n_clusters": 0,
    }


def judged(replicate, variant="full", **aligned):
    """Judgments of one arm, `aligned` by prompt; None is a parse error."""
    frame = pd.DataFrame(
        {"prompt_id": list(aligned), "aligned": pd.array(list(aligned.values()), dtype="Float64")}
    )
    key = {
        "seed": 42,
        "condition": "base",
        "suite": "alignment",
        "sample_index": 0,
        "coherent": 90.0,
    }
    refusal = pd.array(
        [None if value is None else value < 10 for value in aligned.values()], dtype="boolean"
    )
    outcome = ["parse_error" if value is None else "scored" for value in aligned.values()]
    return frame.assign(
        **key, replicate=replicate, variant=variant, refusal=refusal, outcome=outcome
    )


def test_retest_pairs_originals_with_their_second_judgment():
    found = agreement.retest(
        pd.concat(
            [
                judged(0, a=10.0, b=20.0, c=30.0, d=None, e=1.0, f=5.0),
                judged(1, a=12.0, b=20.0, c=27.0, d=50.0, e=None),
                judged(0, "stripped", a=90.0),
            ]
        )
    )
    assert found["judged_twice"] == 5 and found["outcome_changed"] == 2 and found["pairs"] == 3
    assert found["mean_absolute_difference"] == pytest.approx(5 / 3)
    assert found["mean_difference"] == pytest.approx(-1 / 3)
    assert found["spearman"] == {"value": pytest.approx(1.0), "ci95": None, "n": 3, "n_clusters": 3}
    assert 0.9 < found["alpha"]["value"] < 1 and found["refusal_agreement"] == 1.0
    assert len(agreement.table(found)) == 8


@pytest.mark.parametrize(
    "rows", [judged(0, a=1.0), pd.concat([judged(0, a=1.0, b=2.0), judged(1, a=1.0)])]
)
def test_retest_without_pairs_is_missing(rows):
    found = agreement.retest(rows)
    assert found["mean_absolute_difference"] is None
    assert found["spearman"]["value"] is None
    assert found["alpha"]["value"] is None


def test_retest_without_spread_has_no_correlation():
    found = agreement.retest(pd.concat([judged(0, a=5.0, b=5.0), judged(1, a=5.0, b=5.0)]))
    assert found["mean_absolute_difference"] == 0.0
    assert found["spearman"]["value"] is None
    assert found["alpha"]["value"] is None
