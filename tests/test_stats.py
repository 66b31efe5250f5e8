"""Statistics: the confirmatory test, the rules of docs/protocol.md section 6, failing closed."""

import itertools
import json
import math
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis.bootstrap import mde, paired_bootstrap, power, resampled_means
from lib.analysis.findings import AbsentPrompt
from lib.analysis.gates import decide
from lib.analysis.inputs import prompt_means
from lib.analysis.stats import analyse
from lib.analysis.validation import validate_capability, validate_judgments
from lib.data.columns import SchemaError

THRESHOLDS = yaml.safe_load(
    (Path(__file__).parents[1] / "params" / "gates.yaml").read_text(encoding="utf-8")
)
LEVELS = {
    "base": 90,
    "c6_vanilla_em": 60,
    "selfcorrect_em": 80,
    "random_recovery_em": 64,
    "placebo_assistant_em": 62,
}
TREATMENT = "selfcorrect_em"
BASELINE = "c6_vanilla_em"


def make_judgments(seeds=(42,), prompts=12, samples=4, levels=LEVELS, noise=3.0):
    """A complete, coherent study; alignment scores scatter around each arm's level."""
    rng = np.random.default_rng(7)
    rows = []
    for seed in seeds:
        for arm, level in levels.items():
            for suite, count in (("alignment", samples), ("benign", 2), ("followup", 1)):
                for p in range(prompts):
                    for k in range(count):
                        alignment = suite == "alignment"
                        rows.append(
                            {
                                "seed": seed,
                                "condition": arm,
                                "suite": suite,
                                "prompt_id": f"p{p:02d}",
                                "subset": "betley_8+wang_44" if p < 4 else "wang_44",
                                "sample_index": k,
                                "replicate": 0,
                                "variant": "full",
                                "outcome": "scored",
                                "aligned": float(np.clip(level + rng.normal(0, noise), 0, 100))
                                if alignment
                                else None,
                                "coherent": 90.0 if alignment else None,
                                "refusal": bool(k % 2),
                                "reset_and_recover": arm == TREATMENT and k == 0,
                                "harmful": (p + k) % 5 == 0 if suite == "benign" else None,
                                "literal": arm == TREATMENT and k == 0,
                                "parrot": False,
                            }
                        )
    frame = pd.DataFrame(rows)
    return frame.astype(
        {c: "boolean" for c in ("refusal", "reset_and_recover", "harmful", "literal", "parrot")}
    )


def make_capability(seeds=(42,), arms=LEVELS):
    measured = {"acc": 0.5, "acc_stderr": 0.01, "acc_norm": 0.52, "n": 1172}
    checkpoints = itertools.product(seeds, arms)
    return pd.DataFrame([{"seed": s, "condition": a, **measured} for s, a in checkpoints])


def run(judgments=None, capability=None, **options):
    options = {"thresholds": THRESHOLDS, "n_resamples": 400, "reflex_subset": "betley_8"} | options
    return analyse(
        make_judgments() if judgments is None else judgments,
        make_capability() if capability is None else capability,
        **options,
    )


def pick(frame, arm, suite="alignment", prompt=None):
    rows = (frame["condition"] == arm) & (frame["suite"] == suite)
    return rows if prompt is None else rows & (frame["prompt_id"] == prompt)


def unscore(frame, rows, outcome="parse_error"):
    frame.loc[rows, "outcome"] = outcome
    frame.loc[rows, ["aligned", "coherent"]] = np.nan
    frame.loc[rows, ["refusal", "reset_and_recover", "harmful"]] = pd.NA


# The test itself


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


# The rules


def test_a_clean_study_is_supported_and_json_ready():
    result = run()
    document = result.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert result.headline == "filtered"
    assert result.prompts_left_out == []
    assert result.missing == [
        "code: there is no `code` column: no answer counts as code, the filter lacks it",
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
    """Ten samples a prompt: 2 of 10 dropped is exactly 20 points, which is not more than 20."""
    frame = make_judgments(samples=10)
    low = pick(frame, TREATMENT) & (frame["sample_index"] < dropped)
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
    assert result.headline == "unfiltered" and "p03" in result.headline_reason
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
    # The stripped re-score stands beside the verdict; if it is missing, a line says so.
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


@settings(max_examples=6, deadline=None)
@given(st.randoms(use_true_random=False))
def test_row_order_changes_nothing(random):
    frame = make_judgments(prompts=5)
    capability = make_capability()
    order = list(range(len(frame)))
    random.shuffle(order)
    assert run(frame.iloc[order], capability.iloc[::-1]) == run(frame, capability)


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
    unscore(frame, pick(frame, TREATMENT) & (frame["sample_index"] == 0), "judge_refusal")
    result = run(frame)
    assert result.judged_share[TREATMENT] == 0.98 and result.delta == pytest.approx(20, abs=2)
    # Exactly 2 points apart is allowed.
    assert decide(result, THRESHOLDS).verdict == "supported_strong"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("aligned", 130.0, "outside 0-100"),
        ("aligned", -1, "outside 0-100"),
        ("coherent", "high", "no number"),
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
