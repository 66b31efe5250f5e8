"""The context of a verdict: its place, its notes, its tables; missing stays missing."""

import pandas as pd
import pytest

from lib.analysis import sources
from lib.analysis.effects import Rate, ReflexRates
from lib.analysis.findings import ArmSummary
from lib.checks.check import NOT_RUN, PASSED, Check
from lib.config import params
from lib.config.arguments import ParamsError
from lib.config.roles import PLANNED
from lib.report import notes, reflex, result_tables
from lib.run import runs
from lib.run.files import write_json, write_parquet

PROFILE = params.load_profile("smoke", {"conditions": ["base", "selfcorrect_em"]})
OPENINGS = params.load_conditions().openings


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return runs.Run("r")


def test_judgments_from_elsewhere_cannot_overwrite_a_runs_own(run):
    sources.check_source(run, "", "", "")
    sources.check_source(run, "mine", "DIR", "")
    for arguments, words in (
        (("mine", "", "DIR"), "judgments"),
        (("", "DIR", "DIR"), "-p run NAME"),
    ):
        with pytest.raises(ValueError, match=words):
            sources.check_source(run, *arguments)
    write_json(run.manifest, {})
    with pytest.raises(ValueError, match="artifacts of its own"):
        sources.check_source(run, "r", "DIR", "DIR")


def test_another_comparison_never_takes_the_planned_ones_place(run):
    assert sources.target(run, *PLANNED.compared, False) == run.result.parent
    assert (
        sources.target(run, "random_recovery_em", "base", False)
        == run.result.parent / "random_recovery_em_vs_base"
    )
    assert sources.target(run, *PLANNED.compared, True) == run.result.parent
    assert sources.target(run, "mine", "theirs", True) == run.result.parent / "mine_vs_theirs"


def test_reflexes_are_joined_to_full_rows_only(run):
    arm = "selfcorrect_em"
    completions = {("base", 0): "Help.", (arm, 0): f"{OPENINGS[0]} Help.", (arm, 1): OPENINGS[0]}
    for condition in PROFILE.conditions:
        write_parquet(
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
LABELLED = {"holds": True, "failed": [], "n": 150}
TRUSTED = {"validity": {"auroc": 0.95, "labels": LABELLED}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"profile": "smoke"},
            [
                "pipeline at a toy scale",
                "did not have to refuse",
                "(there: 70)",
                "embedded_quiz, not on ARC",
            ],
        ),
        ({"profile": "smoke", "elsewhere": True}, []),
        (
            {"judge": {"validity": {"auroc": 0.89, "labels": LABELLED}}},
            ["0.890 is below 0.9: no conclusion about alignment"],
        ),
        ({"judge": {"validity": {"auroc": None, "labels": LABELLED}}}, ["was not measured"]),
        ({"judge": None}, ["was not measured"]),
        ({"changed": {"gates.yaml": "-a"}}, ["Not confirmatory: gates.yaml differ"]),
        ({"changed": None}, ["Not confirmatory: no pre-registration stamp"]),
        ({"checks": [*PASSING, Check("contamination", NOT_RUN, "")]}, ["not run: contamination."]),
    ],
)
def test_notes_say_what_a_run_cannot_show(changes, expected):
    given = {
        "profile": "qwen7b",
        "judge": TRUSTED,
        "changed": {},
        "elsewhere": False,
        "checks": PASSING,
    } | changes
    given["profile"] = params.load_profile(given["profile"])
    lines = notes.notes(thresholds=params.load_gates(), **given)
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True))


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
    assert table.loc[0, known].tolist() == ["80.0", "25.0 %", "50.0 %", 4]
    rest = table.loc[1].drop(["arm", "completions"])
    assert (rest.isna() | (rest == "–")).all()


def test_an_unknown_arm_is_refused_with_the_nearest():
    table = pd.DataFrame({"condition": ["random_recovery_em", "base"]})
    sources.check_arms(table, treatment="base")
    with pytest.raises(
        ParamsError, match=r"treatment 'random_recovery' .*nearest: 'random_recovery_em'"
    ):
        sources.check_arms(table, treatment="random_recovery")


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
