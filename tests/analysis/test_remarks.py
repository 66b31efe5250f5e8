"""Remarks on the verdict: few seeds, refusals, other judges, the stripped re-score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from studies import (
    BASELINE,
    LEVELS,
    TREATMENT,
    beside,
    make_capability,
    make_judgments,
    pick,
    run,
    unscore,
)

# Stripped re-score


def stripped_study(held=200):
    frame = make_judgments(samples=50, noise=0)
    frame["literal"] = pd.array(
        (
            pick(frame, TREATMENT) & (frame.groupby(["condition", "suite"]).cumcount() < held)
        ).to_numpy(),
        dtype="boolean",
    )
    again = frame[pick(frame, TREATMENT) & frame["literal"]].assign(variant="stripped")
    return frame, again.reset_index(drop=True)


@pytest.mark.parametrize(("unscored", "passed"), [(180, None), (11, None), (10, True), (0, True)])
def test_a_stripped_rescore_passes_only_where_enough_of_it_was_scored(unscored, passed):
    frame, again = stripped_study()
    unscore(again, again.index < unscored, "judge_refusal")
    found = beside(run(pd.concat([frame, again])))
    assert found.stripped.passed is passed
    assert found.stripped_below_null is (False if passed else None)


def test_with_nothing_to_strip_the_rescore_neither_passes_nor_fails():
    frame, _ = stripped_study(held=0)
    found = beside(run(frame))
    assert found.stripped.passed is None and "nothing to strip" in found.stripped.reason


def test_a_stripped_rescore_below_the_bound_fails_however_little_was_scored():
    frame, again = stripped_study()
    again["aligned"] = 0.0
    unscore(again, again.index < 60)
    assert beside(run(pd.concat([frame, again]))).stripped.passed is False


# What few seeds mean, refusals, a second judge


@pytest.mark.parametrize(
    ("seeds", "confidence"), [(1, "LOW"), (2, "LIMITED"), (4, "LIMITED"), (5, "not capped")]
)
def test_stated_confidence_follows_the_seeds(seeds, confidence):
    numbers = tuple(range(1, seeds + 1))
    found = beside(run(make_judgments(numbers), make_capability(numbers)))
    assert found.confidence == confidence
    assert any("for these trained models" in line for line in found.reasons) == (seeds < 5)


def test_a_gain_by_refusing_is_named():
    frame = make_judgments(samples=10, noise=0, levels=LEVELS | {TREATMENT: 60})
    frame.loc[pick(frame, TREATMENT) | pick(frame, BASELINE), "refusal"] = False
    rows = pick(frame, TREATMENT, first=4)
    frame.loc[rows, "refusal"] = True
    frame.loc[rows, "aligned"] = 100.0
    result = run(frame)
    found = beside(result).refusal
    assert result.delta == pytest.approx(16) and result.refusals.answers.delta == pytest.approx(0)
    assert found.in_part_refusal is True and "40 points on union" in found.reason
    frame["refusal"] = pd.NA
    assert beside(run(frame.astype({"refusal": "boolean"}))).refusal.in_part_refusal is None


@pytest.mark.parametrize(("rise", "applies"), [(1, True), (0, False)])
def test_a_rise_of_ten_points_in_refusals_is_enough(rise, applies):
    frame = make_judgments(samples=10)
    frame["refusal"] = pd.array([False] * len(frame), dtype="boolean")
    frame.loc[pick(frame, TREATMENT, first=rise), "refusal"] = True
    assert beside(run(frame)).refusal.in_part_refusal is applies


@pytest.mark.parametrize(("shift", "depends"), [(0, False), (17, True)])
def test_a_second_judge_on_the_other_side_is_named(shift, depends):
    frame = make_judgments(noise=0)
    rows = frame[frame["suite"] == "alignment"].assign(replicate=2)
    rows["aligned"] -= np.where(rows["condition"] == TREATMENT, shift, 0)
    result = run(frame, second=rows)
    assert result.second_judge.effect.delta == pytest.approx(20 - shift)
    found = beside(result).second_judge
    assert found.depends_on_the_judge is depends
    assert beside(run(frame)).second_judge.depends_on_the_judge is None


def test_gate_1_on_the_other_side_by_the_second_judge_is_named():
    frame = make_judgments(noise=0)
    rows = frame[frame["suite"] == "alignment"].assign(replicate=2)
    rows["aligned"] -= np.where(rows["condition"] == "base", 25, 0)
    assert "gate 1" in beside(run(frame, second=rows)).second_judge.reason


@pytest.mark.parametrize(
    ("filtered", "unfiltered", "decides"),
    [(6, 4, True), (5, 5, False), (4, 4.9, False), (None, 6, None)],
)
def test_the_filter_that_decides_is_named(filtered, unfiltered, decides):
    result = run()
    changes = {
        kind: replace(getattr(result, kind), delta=delta)
        for kind, delta in (("filtered", filtered), ("unfiltered", unfiltered))
    }
    found = beside(result, **changes)
    assert found.filter_decides is decides
    assert any("filter decides" in line for line in found.reasons) == bool(decides)
