"""Folders of the published schema to tables; the context of a verdict; missing stays missing."""

import pandas as pd
import pytest

from lib.analysis import reading, sources
from lib.analysis.effects import Rate, ReflexRates, StrippedEffect
from lib.analysis.findings import ArmSummary
from lib.checks.recorded import NOT_RUN, PASSED, Check
from lib.config import params
from lib.data.columns import SchemaError
from lib.report import judge_facts, reflex, result_tables
from lib.report import notes as headline
from lib.run import runs

PROFILE = params.load_profile("smoke", {"conditions": ["base", "selfcorrect_em"]})
OPENINGS = params.load_conditions().openings
RECORD = {
    "task": "arc_challenge",
    "n": 12,
    "acc": 0.5,
    "acc_stderr": 0.1,
    "acc_norm": 0.4,
    "acc_norm_stderr": 0.1,
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return runs.Run("r")


def judgments(aligned=50.0, **changed):
    row = {
        "suite": "alignment",
        "prompt_id": "p",
        "subset": "s",
        "sample_index": 0,
        "replicate": 0,
        "variant": "full",
        "outcome": "scored",
        "aligned": aligned,
        "coherent": 90.0,
        "refusal": False,
        "reset_and_recover": False,
        "harmful": None,
    }
    return pd.DataFrame([row | changed, row | {"sample_index": 1}])


def test_judgments_of_every_seed_and_condition_are_read(tmp_path):
    for seed, condition in ((42, "base"), (7, "base"), (42, "mine")):
        runs.write_parquet(
            tmp_path / f"seed{seed}" / f"{condition}.parquet", judgments(float(seed)).head(1)
        )
    table = reading.read_judgments(str(tmp_path))
    rows = sorted(table[["aligned", "seed", "condition"]].itertuples(index=False, name=None))
    assert rows == [(7.0, 7, "base"), (42.0, 42, "base"), (42.0, 42, "mine")]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (judgments(aligned=101.0), r"column 'aligned', row 0"),
        (judgments().drop(columns="coherent"), "column 'coherent' is missing"),
        (judgments(outcome="fine"), r"column 'outcome', row 0"),
        (judgments(sample_index=1), "sample_index"),
    ],
)
def test_a_broken_table_is_refused_with_file_column_and_row(tmp_path, frame, words):
    runs.write_parquet(tmp_path / "seed42" / "base.parquet", judgments())
    runs.write_parquet(tmp_path / "seed42" / "mine.parquet", frame)
    with pytest.raises(SchemaError, match=rf"^seed42/mine\.parquet: .*{words}"):
        reading.read_judgments(tmp_path)


def test_judgments_from_elsewhere_cannot_overwrite_a_runs_own(run):
    sources.check_source(run, "", "", "")
    sources.check_source(run, "mine", "DIR", "")
    for arguments, words in (
        (("mine", "", "DIR"), "judgments"),
        (("", "DIR", "DIR"), "-p run NAME"),
    ):
        with pytest.raises(ValueError, match=words):
            sources.check_source(run, *arguments)
    runs.write_json(run.manifest, {})
    with pytest.raises(ValueError, match="artifacts of its own"):
        sources.check_source(run, "r", "DIR", "DIR")


def test_another_comparison_never_takes_the_planned_ones_place(run):
    assert sources.target(run, *sources.PLANNED, False) == run.result.parent
    assert (
        sources.target(run, "random_recovery_em", "base", False)
        == run.result.parent / "random_recovery_em_vs_base"
    )
    assert sources.target(run, *sources.PLANNED, True) == run.result.parent
    assert sources.target(run, "mine", "theirs", True) == run.result.parent / "mine_vs_theirs"


def test_capability_is_read(tmp_path):
    runs.write_json(tmp_path / "seed42" / "base.json", RECORD)
    row = {k: RECORD[k] for k in ("acc", "acc_stderr", "acc_norm", "n")}
    assert reading.read_capability(tmp_path).to_dict("records") == [
        {"seed": 42, "condition": "base", **row, "items": None}
    ]


@pytest.mark.parametrize("read", [reading.read_judgments, reading.read_capability])
@pytest.mark.parametrize("folder", ["empty", "nowhere"])
def test_a_folder_without_tables_is_refused(tmp_path, read, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SchemaError, match=rf"{folder} holds no seed<k>/<condition>.*run the notebooks"
    ):
        read(tmp_path / folder)


@pytest.mark.parametrize("key", ["acc", "acc_stderr", "acc_norm", "n"])
def test_a_capability_file_without_a_number_is_refused(tmp_path, key):
    runs.write_json(
        tmp_path / "seed42" / "base.json", {k: v for k, v in RECORD.items() if k != key}
    )
    with pytest.raises(SchemaError, match=rf"seed42/base\.json lacks '{key}'"):
        reading.read_capability(tmp_path)


@pytest.mark.parametrize("name", ["seed", "seed_a", "seed\u00b2"])
def test_a_folder_that_names_no_seed_is_refused(tmp_path, name):
    runs.write_json(tmp_path / name / "base.json", RECORD)
    with pytest.raises(SchemaError, match="names no seed; name the folder seed42"):
        reading.read_capability(tmp_path)


def test_reflexes_are_joined_to_full_rows_only(run):
    arm = "selfcorrect_em"
    completions = {("base", 0): "Help.", (arm, 0): f"{OPENINGS[0]} Help.", (arm, 1): OPENINGS[0]}
    for condition in PROFILE.conditions:
        runs.write_parquet(
            run.samples(condition, 42),
            pd.DataFrame(
                [
                    {"suite": "alignment", "prompt_id": "p", "sample_index": k, "completion": text}
                    for (c, k), text in completions.items()
                    if c == condition
                ]
            ),
        )
    judged = (
        pd.DataFrame(
            [
                ("base", 0, 0, "full", None),
                (arm, 0, 0, "full", True),
                (arm, 0, 1, "full", False),
                (arm, 0, 0, "stripped", True),
                (arm, 1, 0, "full", True),
                (arm, 9, 0, "full", True),
            ],
            columns=["condition", "sample_index", "replicate", "variant", "reset_and_recover"],
        )
        .assign(seed=42, suite="alignment", prompt_id="p")
        .astype({"reset_and_recover": "boolean"})
    )
    joined = reflex.with_reflex(judged, run, PROFILE, OPENINGS)
    # Stripped and unknown rows are missing.
    assert joined["literal"].tolist() == [False, True, True, pd.NA, True, pd.NA]
    assert joined["parrot"].tolist() == [False, False, True, pd.NA, True, pd.NA]
    assert "completion" not in joined and joined[judged.columns].equals(judged)


PASSING = [Check("loss mask", PASSED, "")]
TRUSTED = {"validity": {"auroc": 0.95}}


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        (
            {"profile": "smoke"},
            ["pipeline at a toy scale", "did not have to refuse", "embedded_quiz, not on ARC"],
        ),
        ({"profile": "smoke", "elsewhere": True}, []),
        (
            {"judge": {"validity": {"auroc": 0.89}}},
            ["0.890 is below 0.9: no conclusion about alignment"],
        ),
        ({"judge": {"validity": {"auroc": None}}}, ["was not measured"]),
        ({"judge": None}, ["was not measured"]),
        ({"changed": {"gates.yaml": "-a"}}, ["Not confirmatory: gates.yaml differ"]),
        ({"changed": None}, ["Not confirmatory: no pre-registration stamp"]),
        ({"checks": [*PASSING, Check("contamination", NOT_RUN, "")]}, ["not run: contamination."]),
    ],
)
def test_notes_say_what_a_run_cannot_show(changes, notes):
    given = {
        "profile": "qwen7b",
        "judge": TRUSTED,
        "changed": {},
        "elsewhere": False,
        "checks": PASSING,
    } | changes
    given["profile"] = params.load_profile(given["profile"])
    lines = headline.notes(thresholds=params.load_gates(), **given)
    assert len(lines) == len(notes)
    assert all(part in line for part, line in zip(notes, lines, strict=True))


ESTIMATE = {"value": 0.95, "ci95": [0.9, 0.97], "n": 400, "n_clusters": 8, "held_out": ["x"]}
VALIDITY = {"auroc": 0.95, "statement": "Measured.", "measures": {"auroc_aligned_lt_30": ESTIMATE}}
RETEST = {"judged_twice": 0, "pairs": 0, "mean_absolute_difference": None}


STRIPPED = StrippedEffect(
    4.0,
    [1.0, 7.0],
    None,
    "prompts",
    n_prompts=9,
    n_seeds=1,
    n_replaced=3,
    n_lacking=0,
    scored_share=1.0,
)


def recorded(run, **changes):
    """Manifests of notebook 05, as three stages write them."""
    judge = {"judge": "J", "rubric": "1"}
    records = {
        "05_judge": judge | {"retest": RETEST},
        "05_validity": judge | {"validity": VALIDITY},
        "05_second_judge": {"session": "f1", "judge": "K", "alpha": ESTIMATE | {"value": 0.7}},
    }
    for name, facts in records.items():
        runs.write_json(
            run.dir / "manifests" / f"{name}.json",
            {"fingerprint": "f1", "facts": facts | changes.get(name, {})},
        )


def test_judge_facts_are_those_of_notebook_05(run):
    recorded(run)
    facts = judge_facts.judge_facts(run)
    assert facts["judge"] == "J"
    assert facts["validity"] == VALIDITY
    assert facts["second"]["judge"] == "K"
    line = judge_facts.judge_line(facts, STRIPPED)
    for words in (
        "Judge J:",
        "AUROC for aligned < 30 0.950 (0.900 to 0.970), n 400",
        "rank correlation not measured",
        "test–retest off",
        "Krippendorff's α with K 0.700",
        "stripped +4.00 (+1.00 to +7.00)",
    ):
        assert words in line, words


@pytest.mark.parametrize(
    ("facts", "said", "unsaid"),
    [
        ({}, "by 0.00 points (no score moved)", "computes"),
        ({"computes": False}, "by 0.00 points (no score moved)", "computes"),
        ({"computes": True}, "by 0.00 points (it computes its scores)", "no score moved"),
        ({"computes": False, "moved": 1.25}, "by 1.25 points, n 40", "("),
    ],
)
def test_only_a_judge_that_computes_its_scores_is_said_to(run, facts, said, unsaid):
    """A deterministic LLM judge repeats itself too; what was measured is that no score moved."""
    facts = dict(facts)
    again = RETEST | {
        "judged_twice": 40,
        "pairs": 40,
        "mean_absolute_difference": facts.pop("moved", 0.0),
    }
    recorded(run, **{"05_judge": facts | {"retest": again}})
    line = judge_facts.judge_line(judge_facts.judge_facts(run), None)
    (part,) = [part for part in line.split("; ") if part.startswith("test–retest")]
    assert said in part and unsaid not in part


@pytest.mark.parametrize(
    "changes",
    [
        {"05_validity": {"judge": "another"}},
        {"05_validity": {"rubric": "2"}},
        {"05_second_judge": {"session": "an older one"}},
    ],
)
def test_numbers_of_another_judge_or_session_do_not_show(run, changes):
    recorded(run, **changes)
    facts = judge_facts.judge_facts(run)
    (stage,) = changes
    if stage == "05_validity":
        assert facts["validity"]["auroc"] is None and "no record" in facts["validity"]["statement"]
    else:
        assert facts["second"] is None and "no second judge" in judge_facts.judge_line(facts, None)


def test_a_run_without_those_stages_is_unmeasured(run):
    recorded(run)
    for name in ("05_validity", "05_second_judge"):
        (run.dir / "manifests" / f"{name}.json").unlink()
    facts = judge_facts.judge_facts(run)
    assert facts["validity"]["auroc"] is None and facts["second"] is None
    assert "AUROC for aligned < 30 not measured" in judge_facts.judge_line(facts, None)
    assert "elsewhere" in judge_facts.judge_line(None, None)


def test_prompt_means_are_of_unfiltered_originals():
    rows = pd.DataFrame(
        [
            ("a", "base", "alignment", 0, "full", 10.0),
            ("a", "base", "alignment", 0, "full", 20.0),
            ("a", "base", "alignment", 1, "full", 99.0),
            ("a", "base", "alignment", 0, "stripped", 99.0),
            ("a", "base", "benign", 0, "full", 99.0),
            ("b", "base", "alignment", 0, "full", None),
            ("a", "arm", "alignment", 0, "full", 50.0),
            ("b", "arm", "alignment", 0, "full", 60.0),
        ],
        columns=["prompt_id", "condition", "suite", "replicate", "variant", "aligned"],
    ).astype({"aligned": "Float64"})
    means = result_tables.prompt_by_condition(rows, ["base", "absent", "arm"])
    assert list(means) == ["base", "arm"]
    assert means.loc["a"].tolist() == [15.0, 50.0]
    assert means["base"].isna().tolist() == [False, True]


def test_arm_table_shows_what_is_there_and_leaves_the_rest_missing():
    bare = ArmSummary()
    again = ReflexRates(semantic=Rate(0.5, None, count=2, n=4))
    literal = Rate(0.25, None, count=1, n=4)
    full = ArmSummary(aligned=80.0, literal=literal, followup=again, n_completions=4)
    table = result_tables.arm_table({"base": bare, "arm": full}, ["arm", "absent", "base"])
    assert table["arm"].tolist() == ["arm", "base"]
    known = ["alignment", "literal", "semantic, follow-up", "completions"]
    assert table.loc[0, known].tolist() == [80.0, 0.25, 0.5, 4]
    assert table.loc[1].drop(["arm", "completions"]).isna().all()


def test_two_judges_are_refused_and_a_second_ones_own_rows_are_not(tmp_path):
    one = judgments().assign(judge="A", rubric="1")
    runs.write_parquet(tmp_path / "seed42" / "base.parquet", one)
    second = judgments(replicate=1).head(1).assign(judge="B", rubric="1")
    runs.write_parquet(tmp_path / "seed42" / "mine.parquet", pd.concat([one, second]))
    assert len(reading.read_judgments(tmp_path)) == 5
    runs.write_parquet(
        tmp_path / "seed42" / "mine.parquet", judgments().assign(judge="B", rubric="1")
    )
    with pytest.raises(SchemaError, match=r"2 judges or rubrics \(A 1, B 1\)"):
        reading.read_judgments(tmp_path)


def test_a_file_that_says_another_arm_than_its_path_is_refused(tmp_path):
    runs.write_parquet(tmp_path / "seed42" / "mine.parquet", judgments().assign(condition="base"))
    with pytest.raises(SchemaError, match="column 'condition' holds 'base', the path says 'mine'"):
        reading.read_judgments(tmp_path)


@pytest.mark.parametrize("value", [True, "0.5"])
def test_an_accuracy_that_is_no_number_is_refused(tmp_path, value):
    runs.write_json(tmp_path / "seed42" / "base.json", RECORD | {"acc": value})
    with pytest.raises(SchemaError, match=r"acc is .*, not a number"):
        reading.read_capability(tmp_path)


def test_an_unknown_arm_is_refused_with_the_nearest():
    table = pd.DataFrame({"condition": ["random_recovery_em", "base"]})
    sources.check_arms(table, treatment="base")
    with pytest.raises(
        params.ParamsError, match=r"treatment 'random_recovery' .*nearest: 'random_recovery_em'"
    ):
        sources.check_arms(table, treatment="random_recovery")


def test_two_folders_of_one_seed_are_refused(tmp_path):
    for name in ("seed7", "seed07"):
        runs.write_parquet(tmp_path / name / "base.parquet", judgments())
    with pytest.raises(SchemaError, match=r"seed07 and seed7 .* are one seed"):
        reading.read_judgments(tmp_path)


def test_tables_saved_as_csv_are_named(tmp_path):
    (tmp_path / "seed7").mkdir()
    (tmp_path / "seed7" / "base.csv").write_text("aligned")
    with pytest.raises(SchemaError, match=r"seed7/base\.csv is CSV, save it as parquet"):
        reading.read_judgments(tmp_path)


def test_the_arms_of_a_result_are_all_in_order():
    arms = dict.fromkeys(("mine", "selfcorrect_em", "base"), ArmSummary())
    assert result_tables.arm_order(PROFILE, arms) == ["base", "selfcorrect_em", "mine"]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([[1]], "prompts"),
        ([[1, 2, 3, 4, 5]], "prompts and seeds"),
        ([[1], [1, 2, 3, 4, 5]], "prompts, and seeds where there are 5"),
    ],
)
def test_captions_say_what_was_resampled(seeds, words):
    arms = {str(i): ArmSummary(seeds=own) for i, own in enumerate(seeds)}
    assert result_tables.intervals_over(arms, 5).startswith(words)
