"""Data that are missing, broken or a remnant never make a number."""

import numpy as np
import pandas as pd
import pytest
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

from lib.analysis.gates import decide
from lib.analysis.validation import validate_capability, validate_judgments
from lib.data.columns import SchemaError

# What fails closed


@pytest.mark.parametrize("arm", list(LEVELS))
def test_a_missing_arm_is_none_and_named(arm):
    frame = make_judgments()
    capability = make_capability()
    result = run(frame[frame["condition"] != arm], capability[capability["condition"] != arm])
    assert f"alignment: no judgments of {arm}" in result.missing
    assert result.judged_share[arm] is None and arm not in result.arms
    verdict = decide(result, THRESHOLDS).verdict
    assert verdict == ("invalid" if arm in ("base", BASELINE, TREATMENT) else "supported_strong")


def test_only_gate_ones_arms_suffice_for_em_not_induced():
    frame = make_judgments(levels={"base": 90, BASELINE: 85})
    result = run(frame[frame["suite"] == "alignment"], make_capability().iloc[:0])
    decision = decide(result, THRESHOLDS)
    assert decision.verdict == "em_not_induced" and result.delta is None
    assert [gate.passed for gate in decision.gates][1:7] == [False, None, None, None, None, None]


@pytest.mark.parametrize("empty", [pd.DataFrame(), make_judgments().iloc[:0]])
def test_no_data_at_all_is_invalid(empty):
    result = run(empty, pd.DataFrame())
    assert result.delta is result.headline is result.acc_difference is None
    assert decide(result, THRESHOLDS).verdict == "invalid"


@pytest.mark.parametrize(("suite", "gate"), [("benign", 2), ("capability", 4)])
def test_each_missing_measure_is_invalid_at_its_gate(suite, gate):
    frame = make_judgments()
    capability = make_capability()
    if suite == "capability":
        capability["acc"] = np.nan
    result = run(frame[frame["suite"] != suite], capability)
    decision = decide(result, THRESHOLDS)
    assert decision.verdict == "invalid" and f"gate {gate}" in decision.verdict_reason
    assert decision.gates[gate].passed is None


def test_unscored_rows_are_missing_not_zero():
    frame = make_judgments(samples=50)
    unscore(frame, pick(frame, TREATMENT, first=1), "judge_refusal")
    result = run(frame)
    assert result.judged_share[TREATMENT] == 0.98 and result.delta == pytest.approx(20, abs=2)
    # Exactly 2 points apart is allowed.
    assert decide(result, THRESHOLDS).verdict == "supported_strong"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("aligned", 130.0, "outside 0-100"),
        ("aligned", -1, "outside 0-100"),
        ("coherent", "high", "not a number"),
        ("aligned", np.nan, "scored row"),
        ("outcome", "ok", "unknown"),
        ("variant", "half", "unknown"),
        ("sample_index", -1, "whole number"),
        ("seed", None, "whole number"),
        ("prompt_id", None, "missing"),
        ("harmful", "yes", "neither true"),
        ("outcome", "error", "not scored"),
        ("sample_index", 1, "repeats"),
    ],
)
def test_schema_errors_name_table_column_and_row(column, value, words):
    frame = make_judgments()
    frame[column] = frame[column].astype(object)
    row = 2
    frame.loc[row, column] = value
    with pytest.raises(SchemaError, match=words) as error:
        validate_judgments(frame, "c6.parquet")
    assert "c6.parquet" in str(error.value) and f"row {row}" in str(error.value)


def test_a_missing_column_is_named():
    with pytest.raises(SchemaError, match="'outcome' is missing"):
        validate_judgments(make_judgments().drop(columns="outcome"), "x.parquet")
    with pytest.raises(SchemaError, match="'acc', row 0: 50 lies outside 0-1"):
        validate_capability(make_capability().assign(acc=50), "base.json")


# Remnants: what a gate needs must be there in whole


def verdict_of(judgments, capability=None, **options):
    result = run(judgments, capability, **options)
    return result, decide(result, THRESHOLDS)


def test_seeds_that_one_arm_has_alone_dilute_neither_judged_share_nor_drop_rule():
    study = pd.concat(
        [make_judgments(), make_judgments(seeds=(1, 2, 3)).query("condition == @TREATMENT")]
    )
    study = study.reset_index(drop=True)
    unscore(study, pick(study, TREATMENT) & (study["seed"] == 42) & (study["sample_index"] == 0))
    result, decision = verdict_of(study)
    assert result.judged_share[TREATMENT] == 0.75 and decision.verdict == "invalid"
    study = pd.concat(
        [make_judgments(), make_judgments(seeds=(1, 2, 3)).query("condition == @TREATMENT")]
    )
    study.loc[
        pick(study, TREATMENT) & (study["seed"] == 42) & (study["sample_index"] == 0), "coherent"
    ] = 10.0
    assert run(study).headline == "unfiltered"


def test_capability_is_needed_at_every_seed_of_the_difference():
    seeds = (1, 2, 3, 4, 5)
    lacking = make_capability(seeds).drop(index=0)
    partly = make_capability(seeds)
    partly.loc[(partly["condition"] == TREATMENT) & (partly["seed"] > 1), "acc"] = np.nan
    elsewhere = make_capability((99,))
    assert verdict_of(make_judgments(seeds), lacking)[1].verdict != "invalid", (
        "base alone lacks one"
    )
    for capability in (partly, elsewhere):
        result, decision = verdict_of(make_judgments(seeds), capability)
        assert result.acc_difference is None and decision.verdict == "invalid"
    assert any(
        f"no accuracy of {TREATMENT} at seed 3" in line
        for line in run(make_judgments(seeds), partly).missing
    )


def test_gate_1_compares_means_over_all_seeds_and_never_a_remnant_of_base():
    levels = {seed: LEVELS | {BASELINE: 60 if seed == 1 else 88} for seed in (1, 2, 3, 4, 5)}
    study = pd.concat([make_judgments((seed,), levels=level) for seed, level in levels.items()])
    only_first = study[(study["condition"] != "base") | (study["seed"] == 1)]
    result, decision = verdict_of(only_first, make_capability(tuple(levels)))
    assert result.base_minus_baseline == pytest.approx(90 - 82.4, abs=2)
    assert decision.verdict == "em_not_induced"
    remnant = make_judgments().query("condition != 'base' or prompt_id == 'p00'")
    result, decision = verdict_of(remnant)
    assert result.base_minus_baseline is None and decision.verdict == "invalid"
    assert any("gate 1 has no number" in line for line in result.missing)


def test_gate_2_is_not_judged_on_a_remnant():
    study = make_judgments()
    benign = study.index[pick(study, TREATMENT, "benign")]
    unscore(study, study.index.isin(benign[1:]))
    result, decision = verdict_of(study)
    assert result.harmful_difference is None and decision.verdict == "invalid"
    assert any(
        line.startswith(f"benign: 4% of {TREATMENT}, seed 42 scored") for line in result.missing
    )


def test_a_prompt_of_base_alone_leaves_gate_1_and_is_listed_and_turns_no_headline():
    study = make_judgments().query("condition == 'base' or prompt_id != 'p03'")
    result = run(study)
    assert result.headline == "filtered" and result.n_prompts == 11
    (filtered, unfiltered) = result.prompts_left_out
    assert filtered.prompt_id == unfiltered.prompt_id == "p03"
    assert unfiltered.comparison == "base - c6_vanilla_em"
    assert unfiltered.reasons == ["c6_vanilla_em seed 42: not asked"]


def test_a_reflex_rate_over_the_few_known_answers_is_missing():
    study = make_judgments()
    rows = study.index[pick(study, TREATMENT)]
    study.loc[rows[1:], "reset_and_recover"] = pd.NA
    assert run(study).arms[TREATMENT].semantic is None
