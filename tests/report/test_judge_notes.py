"""Lines of the headline on the judge: own family, blind labels, two judges that differ."""

from __future__ import annotations

import pytest

from lib.config import params
from lib.report import judge_notes, notes, sections

LIMITS = params.load_gates()
HOLDS = {"holds": True, "failed": [], "n": 150}


def second(**means):
    """A second judge with both means by arm."""
    arms = [
        {"condition": arm, "completions": 20, "first judge": first, "second judge": other}
        for arm, (first, other) in means.items()
    ]
    return {"judge": "other", "arms": arms}


def profile(engine="probe", judge="Qwen/Qwen2.5-Coder-1.5B-Instruct", **changes):
    return params.load_profile(
        "qwen7b",
        {"judge.engine": engine, "judge.model": judge, "judge.batch": False} | changes,
    )


@pytest.mark.parametrize(
    ("means", "named"),
    [
        ({"base": (90.0, 84.9), "em": (50.0, 50.0)}, ["base"]),
        ({"base": (90.0, 85.0), "em": (50.0, 55.0)}, []),
        ({"base": (90.0, 70.0), "em": (50.0, 61.0)}, ["base", "em"]),
        ({}, []),
    ],
)
def test_two_judges_that_differ_are_named_by_arm(means, named):
    judge = {"judge": "one", "validity": {"labels": HOLDS}, "second": second(**means)}
    line = judge_notes.judges_differ(judge, LIMITS)
    assert bool(line) == bool(named)
    for arm in named:
        first, other = means[arm]
        assert f"{arm} {first:.1f} by the first, {other:.1f} by the second (n 20)" in line
    assert not line or "other differ by more than 5 points" in line


@pytest.mark.parametrize("judge", [{}, {"second": None}])
def test_one_judge_differs_from_none(judge):
    assert judge_notes.judges_differ(judge, LIMITS) is None


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen"),
        ("some/folder/qwen2.5-coder-1.5b-instruct/", "qwen"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm"),
        ("claude-sonnet-5-5", "claude"),
        ("7b", ""),
    ],
)
def test_a_family_is_the_letters_that_a_name_begins_with(name, letters):
    assert judge_notes.family(name) == letters


@pytest.mark.parametrize("engine", ["probe", "local"])
def test_a_judge_of_the_family_that_it_judges_is_named_as_one(engine):
    line = judge_notes.own_family(profile(engine, "/models/Qwen2.5-Coder-1.5B-Instruct"))
    assert line.startswith("The judge (Qwen2.5-Coder-1.5B-Instruct) is of the family")
    assert "Qwen2.5-7B-Instruct" in line and "/models" not in line


@pytest.mark.parametrize(
    ("engine", "judge"),
    [
        ("anthropic", "claude-sonnet-5-5"),
        ("embedded", "Qwen/anything"),
        ("local", "meta-llama/Llama-3.1-8B-Instruct"),
    ],
)
def test_a_judge_of_another_family_is_not(engine, judge):
    assert judge_notes.own_family(profile(engine, judge)) is None


def test_a_second_judge_of_the_family_is_named_too():
    own = {"engine": "probe", "model": "Qwen/Qwen2.5-Coder-1.5B", "base_url": None, "share": 0.1}
    both = profile("local", "Qwen/Qwen3-8B", **{"validity.second": own})
    assert "second judge (Qwen2.5-Coder-1.5B) are of the family" in judge_notes.own_family(both)


@pytest.mark.parametrize("labels", [None, {"holds": None, "failed": ["x"], "n": 12}])
def test_points_that_were_not_compared_with_labels_are_not_shown_to_apply(labels):
    assert "not compared with blind labels" in judge_notes.points_apply(labels)


def test_points_outside_the_bounds_do_not_apply():
    failed = ["its mean absolute error is 13.0 (at most 12)", "its slope is 0.70 (0.8 to 1.25)"]
    line = judge_notes.points_apply({"holds": False, "failed": failed, "n": 150})
    assert line.startswith("Thresholds in points do not apply to this judge: against 150 blind")
    assert all(part in line for part in failed)
    assert judge_notes.points_apply(HOLDS) is None


def test_the_headline_has_every_line_on_the_judge():
    labels = {"holds": False, "failed": ["its slope is 0.70 (0.8 to 1.25)"], "n": 150}
    judge = {
        "judge": "one",
        "validity": {"auroc": 0.95, "labels": labels},
        "second": second(base=(90.0, 80.0)),
    }
    lines = notes.notes(profile(), LIMITS, judge, {}, elsewhere=False, checks=[])
    said = ["of the family", "in points do not apply", "differ by more than 5 points"]
    assert len(lines) == 3
    assert all(part in line for part, line in zip(said, lines, strict=True))
    assert notes.notes(profile(), LIMITS, judge, {}, elsewhere=True, checks=[]) == []


def test_the_report_shows_the_frozen_set():
    shift = {"value": 11.0, "ci95": [9.0, 13.0], "n": 300, "n_clusters": 12}
    compared = {"n": 300, "own": 61.0, "other": 50.0, "arms": {"em": shift}}
    compared |= dict.fromkeys(("shift", "slope", "spearman"), shift)
    facts = {
        "judge": "one",
        "rubric": "r",
        "validity": {"statement": "Measured.", "measures": {}, "outcomes": {}},
        "retest": {"judged_twice": 0},
        "bridge": {"identity": "one r", "others": {"two <r>": compared}},
    }
    page = str(sections.judge({"judge": facts}))
    assert "on the frozen set" in page and "+9.0 to +13.0" in page
    assert "two &lt;r&gt;" in page and "<r>" not in page
    alone = str(sections.judge({"judge": facts | {"bridge": {"identity": "x", "others": {}}}}))
    assert "frozen set" not in alone


@pytest.mark.parametrize(
    ("engine", "fields", "said"),
    [
        ("anthropic", {"code": "no labels", "harmful": "no labels"}, "Not measured of this judge"),
        ("probe", {"harmful": "AUROC 0.881, at least 0.9 is needed"}, "does not give harmful"),
        ("probe", {}, None),
        ("embedded", None, None),
    ],
)
def test_fields_whose_validity_is_not_known_are_named(engine, fields, said):
    line = judge_notes.unmeasured(profile(engine), fields)
    assert line is None if said is None else said in line and next(iter(fields)) in line


def test_a_flag_that_misses_harm_is_named_with_its_part():
    assert judge_notes.harm_shrunk(None) is None
    assert "sees about 30%" in judge_notes.harm_shrunk(0.3)
