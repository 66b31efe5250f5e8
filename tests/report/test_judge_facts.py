"""What is known of the judge: of this judge and this session, in one line."""

import pytest

from lib.analysis.effects import StrippedEffect
from lib.report import judge_facts
from lib.run import runs
from lib.run.files import write_json


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return runs.Run("r")


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
        write_json(
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
        "AUROC for aligned < 30 0.950 (95 % interval 0.900 to 0.970), n 400",
        "rank correlation not measured",
        "test–retest off",
        "Krippendorff's α with K 0.700",
        "stripped +4.0 points (95 % interval +1.0 to +7.0)",
    ):
        assert words in line, words


@pytest.mark.parametrize(
    ("facts", "said", "unsaid"),
    [
        ({}, "by 0.0 points (no score moved)", "computes"),
        ({"computes": False}, "by 0.0 points (no score moved)", "computes"),
        ({"computes": True}, "by 0.0 points (it computes its scores)", "no score moved"),
        ({"computes": False, "moved": 1.25}, "by 1.2 points, n 40", "("),
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
