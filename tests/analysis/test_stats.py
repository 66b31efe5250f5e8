"""The rules of docs/protocol.md section 6: what is compared, and what leaves."""

import json
import math
from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import (
    BASELINE,
    LEVELS,
    THRESHOLDS,
    TREATMENT,
    make_capability,
    make_judgments,
    pick,
    run,
    unscore,
)

from lib.analysis.findings import AbsentPrompt
from lib.analysis.gates import decide
from lib.analysis.inputs import prompt_means
from lib.analysis.validation import validate_judgments


def test_a_clean_study_is_supported_and_json_ready():
    result = run()
    document = result.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert result.headline == "filtered"
    assert result.prompts_left_out == []
    assert result.missing == [
        "code: without a `code` column, no answer counts as code and none is filtered out",
        "stripped: no re-score of selfcorrect_em without its opening",
    ]
    assert result.delta == pytest.approx(20, abs=2) and result.n_prompts == 12
    assert result.base_minus_baseline == pytest.approx(30, abs=2)
    assert decide(result, THRESHOLDS).verdict == "supported_strong"
    assert result.arms[TREATMENT].literal.share == 0.25 and result.arms[TREATMENT].literal.n == 16
    assert result.subsets["betley_8"].n_prompts == 4 and result.subsets["wang_44"].n_prompts == 12
    assert "p_value" not in document["subsets"]["betley_8"]
    assert "p_value" not in document["controls"]["random_recovery_em"]["treatment_minus_control"]
    assert sum(result.resampled_histogram.counts) == 400


def test_means_are_means_of_per_prompt_means():
    frame = make_judgments()
    frame.loc[pick(frame, TREATMENT, prompt="p00"), "aligned"] = 0.0
    unscore(frame, pick(frame, TREATMENT, prompt="p00") & (frame["sample_index"] > 0))
    rows = frame[pick(frame, TREATMENT)]
    assert run(frame).arms[TREATMENT].aligned == pytest.approx(
        rows.groupby("prompt_id")["aligned"].mean().mean()
    )
    assert len(prompt_means(validate_judgments(frame, "t"), "aligned").columns) == 12


@pytest.mark.parametrize(
    ("dropped", "headline"), [(0, "filtered"), (2, "filtered"), (3, "unfiltered")]
)
def test_drop_rule_at_its_boundary(dropped, headline):
    """Ten samples per prompt: 2 of 10 dropped is exactly 20 points, which is not more than 20."""
    frame = make_judgments(samples=10)
    low = pick(frame, TREATMENT, first=dropped)
    frame.loc[low, ["coherent", "aligned"]] = 49.999, 0.0
    result = run(frame)
    assert result.headline == headline
    assert result.drop_shares[TREATMENT] == pytest.approx(dropped / 10)
    assert result.delta == getattr(result, headline).delta
    assert result.filtered.delta == pytest.approx(20, abs=2)
    assert result.unfiltered.delta == pytest.approx(20 - 8 * dropped, abs=2)


def test_coherent_at_the_floor_stays():
    frame = make_judgments()
    frame.loc[pick(frame, TREATMENT), "coherent"] = 50.0
    result = run(frame)
    assert result.drop_shares[TREATMENT] == 0
    assert result.filtered.delta == result.unfiltered.delta and result.headline == "filtered"


def test_an_emptied_prompt_leaves_both_arms_is_listed_and_turns_the_headline():
    frame = make_judgments()
    frame.loc[pick(frame, BASELINE, prompt="p03"), "coherent"] = 10.0
    result = run(frame)
    leaves = "1 of 12 prompts leaves the filtered comparison, where 11 stay: an arm has no usable "
    assert (result.headline, result.headline_reason) == ("unfiltered", f"{leaves}answers to p03")
    reason = "c6_vanilla_em seed 42: no scored answer that is coherent and not code"
    assert [asdict(row) for row in result.prompts_left_out] == [
        {
            "prompt_id": "p03",
            "scores": "filtered",
            "comparison": f"{arm} - c6_vanilla_em",
            "emptied": ["c6_vanilla_em seed 42"],
            "reasons": [reason],
        }
        for arm in ("selfcorrect_em", "base")
    ]
    assert result.filtered.n_prompts == 11 and result.unfiltered.n_prompts == 12
    row = next(row for row in result.per_prompt if row.prompt_id == "p03")
    assert row.difference_filtered is None and row.difference_unfiltered is not None


def test_a_prompt_without_any_score_leaves_the_unfiltered_number_too():
    frame = make_judgments()
    unscore(frame, pick(frame, TREATMENT, prompt="p05"))
    result = run(frame)
    assert result.unfiltered.n_prompts == 11 and result.headline == "unfiltered"
    assert [row.scores for row in result.prompts_left_out] == ["filtered", "unfiltered"]
    assert decide(result, THRESHOLDS).verdict == "invalid"  # 44 of 48 judged


def test_a_prompt_that_an_arm_was_never_asked_is_listed():
    frame = make_judgments()
    result = run(frame[~pick(frame, TREATMENT, prompt="p05")])
    assert result.prompts_absent == [AbsentPrompt(condition=TREATMENT, seed=42, prompt_id="p05")]
    assert result.n_prompts == 11 and result.headline == "unfiltered"


def test_no_verdict_counts_what_was_judged_again_by_another_or_without_its_opening():
    frame = make_judgments()
    stripped = frame[pick(frame, TREATMENT) & frame["literal"]].copy()
    stripped["variant"] = "stripped"
    stripped["aligned"] = 0.0
    planted = [stripped]
    # A retest that gives every answer 0, and a second judge that stands everything on its head.
    for replicate, turn in ((1, lambda x: 0.0 * x), (2, lambda x: 100 - x)):
        again = frame.assign(
            replicate=replicate, aligned=turn(frame["aligned"]), coherent=turn(frame["coherent"])
        )
        flags = again["reset_and_recover"].isna()
        again["reset_and_recover"] = (
            (~again["reset_and_recover"].fillna(False).astype(bool)).astype("boolean").mask(flags)
        )
        planted += [again, again.assign(variant="stripped")]
    clean = run()
    result = run(pd.concat([frame, *planted]))
    decided = decide(clean, THRESHOLDS)
    with_planted = decide(result, THRESHOLDS)
    # The stripped re-score is a remark on the verdict; if it is missing, a line says so.
    beside = {"stripped", "missing"}
    for key in {field.name for field in fields(clean)} - beside:
        assert getattr(result, key) == getattr(clean, key), key
    for key in ("verdict", "verdict_reason", "gates"):
        assert getattr(with_planted, key) == getattr(decided, key), key
    only_stripped = run(pd.concat([frame, stripped]))
    assert result.stripped == only_stripped.stripped, (
        "a stripped row of another judge or a retest is no re-score"
    )


def test_stripped_rows_replace_the_full_ones():
    frame = make_judgments(noise=0)
    stripped = frame[pick(frame, TREATMENT) & frame["literal"]].copy()
    stripped["variant"] = "stripped"
    stripped["aligned"] = 40.0
    result = run(pd.concat([frame, stripped])).stripped
    assert result.delta == pytest.approx(20 - 40 / 4)
    assert (result.n_replaced, result.n_lacking) == (
        12,
        0,
    )
    part = run(pd.concat([frame, stripped.iloc[:5]]))
    assert part.stripped.n_lacking == 7
    assert decide(part, THRESHOLDS).beside.stripped_below_null is None
    unscore(stripped, stripped["variant"] == "stripped")
    unscored = run(pd.concat([frame, stripped])).stripped
    assert unscored.delta == pytest.approx(20)  # the persuaded score does not stay
    frame["literal"] = pd.array([False] * len(frame), dtype="boolean")
    assert run(frame).stripped.delta == pytest.approx(20)  # nothing to strip
    assert run(frame.drop(columns="literal")).stripped is None


def test_seeds_are_paired_and_printed():
    seeds = (1, 2, 3, 4, 5)
    result = run(make_judgments(seeds), make_capability(seeds))
    assert result.interval_over == "prompts and seeds"
    assert [r.seed for r in result.per_seed] == list(seeds)
    assert np.mean([r.delta for r in result.per_seed]) == pytest.approx(result.delta)
    frame = make_judgments(seeds)
    fewer = run(frame[~(pick(frame, TREATMENT) & (frame["seed"] == 5))], make_capability(seeds))
    assert fewer.interval_over == "prompts" and "4 seeds, fewer than 5" in fewer.interval_note
    assert any("seed 5 has only one of" in line for line in fewer.missing)


def test_capability_difference_and_its_interval():
    capability = make_capability()
    capability.loc[capability["condition"] == TREATMENT, "acc"] = 0.45
    found = run(capability=capability).acc_differences.treatment_minus_baseline
    assert found.difference == pytest.approx(-0.05)
    assert found.stderr == pytest.approx(0.01 * math.sqrt(2))
    capability["acc_stderr"] = np.nan
    assert run(capability=capability).acc_differences.treatment_minus_baseline.ci95 is None


def test_items_are_compared_in_pairs_where_both_arms_scored_the_same():
    rng = np.random.default_rng(0)
    base = {f"q{i}": [float(rng.random() < 0.5), 0.0] for i in range(200)}
    treated = {
        item: [1.0 - score if i < 10 else score, 0.0]
        for i, (item, (score, _)) in enumerate(base.items())
    }
    capability = make_capability()
    capability["items"] = [treated if arm == TREATMENT else base for arm in capability["condition"]]
    found = run(capability=capability).acc_differences.treatment_minus_baseline
    differences = np.array([treated[item][0] - base[item][0] for item in base])
    assert found.paired and found.stderr == pytest.approx(differences.std(ddof=1) / math.sqrt(200))
    capability["items"] = [
        dict(list(treated.items())[1:]) if arm == TREATMENT else base
        for arm in capability["condition"]
    ]
    unpaired = run(capability=capability).acc_differences.treatment_minus_baseline
    assert not unpaired.paired and unpaired.stderr == pytest.approx(0.01 * math.sqrt(2))


def test_harmful_rate_is_in_points_by_prompt():
    frame = make_judgments()
    frame.loc[pick(frame, TREATMENT, "benign"), "harmful"] = True
    frame.loc[pick(frame, BASELINE, "benign"), "harmful"] = False
    result = run(frame)
    assert result.harmful_difference == 100 and result.arms[TREATMENT].harmful == 100


def test_controls_are_compared_by_interval():
    same = run(make_judgments(levels=LEVELS | {"placebo_assistant_em": 80}))
    found = {row.name: row.does_as_well for row in decide(same, THRESHOLDS).beside.controls}
    assert found == {"random_recovery_em": False, "placebo_assistant_em": True}
    assert same.controls["random_recovery_em"].treatment_minus_control.delta == pytest.approx(
        16, abs=2
    )


@pytest.fixture(scope="module")
def in_order():
    """Judgments, capability and their analysis."""
    frame = make_judgments(prompts=5)
    capability = make_capability()
    return frame, capability, run(frame, capability)


@settings(max_examples=6, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_row_order_changes_nothing(in_order, random):
    frame, capability, expected = in_order
    order = list(range(len(frame)))
    random.shuffle(order)
    assert run(frame.iloc[order], capability.iloc[::-1]) == expected
