"""A prompt that leaves a comparison is named with its reason, and no pair is no crash."""

from __future__ import annotations

import pandas as pd
import pytest
from studies import (
    BASELINE,
    LEVELS,
    TREATMENT,
    make_capability,
    make_judgments,
    pick,
    run,
    unscore,
    verdict,
)


@pytest.mark.parametrize("arm", ["random_recovery_em", "base_evil", "base"])
def test_a_prompt_that_only_another_arm_was_asked_turns_no_headline(arm):
    frame = make_judgments(levels=LEVELS | {"base_evil": 20})
    extra = frame[pick(frame, arm, prompt="p00")].assign(prompt_id="extra")
    result = run(pd.concat([frame, extra]))
    assert result.headline == "filtered" and result.n_prompts == 12


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("absent", "not asked"),
        ("incoherent", "coherent"),
        ("unscored", "coherent"),
    ],
)
def test_a_prompt_that_leaves_is_listed_with_its_true_reason(how, words):
    frame = make_judgments()
    rows = pick(frame, BASELINE, prompt="p03")
    if how == "absent":
        frame = frame[~rows]
    elif how == "incoherent":
        frame.loc[rows, "coherent"] = 10.0
    else:
        unscore(frame, rows)
    result = run(frame)
    assert result.headline == "unfiltered" and "coherent" not in result.headline_reason
    row = next(row for row in result.prompts_left_out if row.scores == "filtered")
    assert row.prompt_id == "p03" and words in row.reasons[0]


def test_prompts_that_leave_gate_1_are_listed():
    frame = make_judgments(samples=10)
    frame.loc[pick(frame, "base", prompt="p07"), "coherent"] = 10.0
    result = run(frame)
    (row,) = [row for row in result.prompts_left_out if row.prompt_id == "p07"]
    assert row.comparison == f"base - {BASELINE}" and row.reasons[0].startswith("base seed 42")
    assert result.headline == "filtered"


@pytest.mark.parametrize(
    "frame",
    [
        make_judgments().assign(
            prompt_id=lambda t: t["prompt_id"].where(
                t["condition"] != TREATMENT, t["prompt_id"] + " "
            )
        ),
        make_judgments((1, 2)).query("(condition == @TREATMENT) == (seed == 2)"),
        make_judgments().query("condition != @TREATMENT"),
    ],
    ids=["ids differ by a space", "no shared seed", "arm absent"],
)
def test_without_a_pair_there_is_a_verdict_and_no_crash(frame):
    capability = make_capability((1, 2, 42))
    assert verdict(frame, capability).verdict == "invalid"
    low = frame.assign(aligned=frame["aligned"].where(frame["condition"] != BASELINE, 89.0))
    assert verdict(low, capability).verdict == "em_not_induced"
