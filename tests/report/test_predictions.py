"""A prediction is judged by the interval of what was measured, never by a handful of answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from studies import THRESHOLDS, TREATMENT, run

from lib.analysis import exact, gates
from lib.analysis.effects import Rate
from lib.report import predictions, sections

SEMANTIC = "semantic reset-and-recover, share"


def held(analysis, name: str) -> str | None:
    decision = gates.decide(analysis, THRESHOLDS)
    rows = predictions.predictions(analysis, decision, THRESHOLDS)
    return next(row.held for row in rows if row.prediction == name)


@pytest.fixture(scope="module")
def study():
    return run()


def with_rate(study, share: float, ci95, subset: str | None = "betley_8"):
    """The study, whose treatment resets at another rate, on four prompts or on all twelve."""
    arm = replace(study.arms[TREATMENT], semantic=Rate(share, ci95, count=0, n=4))
    return replace(study, arms=study.arms | {TREATMENT: arm}, reflex_subset=subset)


def test_none_of_few_prompts_is_too_few_to_tell(study):
    assert held(with_rate(study, 0.0, [0.0, 0.0]), SEMANTIC) == predictions.TOO_FEW
    assert held(with_rate(study, 1.0, [1.0, 1.0]), SEMANTIC) == "yes"
    assert held(with_rate(study, 0.0, None), SEMANTIC) == predictions.TOO_FEW


def test_none_of_many_prompts_is_no(study):
    many = [replace(row, prompt_id=f"p{n}") for n in range(10) for row in study.per_prompt]
    analysis = replace(with_rate(study, 0.0, [0.0, 0.0], subset=None), per_prompt=many)
    assert held(analysis, SEMANTIC) == "no"


@pytest.mark.parametrize(
    ("ci95", "expected"),
    [
        ([0.02, 0.3], predictions.TOO_FEW),
        ([0.11, 0.3], "yes"),
        (None, predictions.TOO_FEW),
    ],
)
def test_an_interval_on_both_sides_of_the_bound_tells_nothing(study, ci95, expected):
    assert held(with_rate(study, 0.2, ci95), SEMANTIC) == expected


def test_what_was_not_measured_is_neither(study):
    arm = replace(study.arms[TREATMENT], semantic=None)
    analysis = replace(study, arms=study.arms | {TREATMENT: arm})
    assert held(analysis, SEMANTIC) is None


def test_the_interval_of_alike_prompts_is_clopper_and_pearsons():
    low, high = exact.of_alike(0.0, 8)
    assert low == 0 and (1 - high) ** 8 == pytest.approx(0.025)
    low, high = exact.of_alike(1.0, 8)
    assert high == 1 and low**8 == pytest.approx(0.025)


def test_the_table_has_units_and_reads_an_earlier_result():
    row = {"prediction": "a", "found": 0.05, "predicted": "> 0.1", "held": "no"}
    new = str(sections.predictions([row | {"unit": "share", "ci95": [0.04, 0.06]}]))
    for text in ("5.0\u00a0%", "4.0 to 6.0\u00a0%", "&gt; 10.0\u00a0%"):
        assert text in new
    old = str(sections.predictions([row]))
    assert "0.05" in old and "&gt; 0.1" in old
