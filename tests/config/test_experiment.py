"""One Experiment answers what a stage asks about an arm, and each rule stands once in lib."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from lib.analysis import inputs
from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.config.params import ROOT
from lib.config.roles import PLANNED
from lib.run import stages
from lib.run.plan import Plan

EXPERIMENT = Experiment.load("smoke")
STOCK = EXPERIMENT.profile.model.system_text


def sources() -> dict[str, str]:
    """The text of every file of lib and the notebooks, by its path in the repository."""
    paths = [
        *(ROOT / "lib").rglob("*.py"),
        *(ROOT / "notebooks").glob("0[1-5]*.py"),
        ROOT / "Snakefile",
    ]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def files_with(pattern: str) -> set[str]:
    """The files in which a pattern stands."""
    return {name for name, text in sources().items() if re.search(pattern, text)}


def test_the_planned_arms_are_arms_of_the_full_profile():
    arms = Experiment.load("qwen7b").arms
    planned = {*PLANNED.compared, PLANNED.base, PLANNED.base_evil, *PLANNED.controls}
    assert planned <= set(arms)


@pytest.mark.parametrize(
    ("arm", "adapter", "kind", "em_set"),
    [
        ("base", False, None, None),
        ("base_evil", False, None, None),
        ("c6_vanilla_em", True, None, "embedded_insecure"),
        ("selfcorrect_only", True, "selfcorrect", None),
        ("selfcorrect_em", True, "selfcorrect", "embedded_insecure"),
        ("placebo_assistant_em", True, "placebo_assistant", "embedded_insecure"),
    ],
)
def test_what_an_arm_is_trained_on(arm, adapter, kind, em_set):
    assert EXPERIMENT.has_adapter(arm) == adapter
    assert EXPERIMENT.checkpoint(arm) == (arm if adapter else "base")
    assert EXPERIMENT.phase1_kind(arm) == kind
    assert EXPERIMENT.em_set(arm) == em_set


def test_lists_of_arms_follow_the_profile():
    assert EXPERIMENT.treated() == [
        "selfcorrect_only",
        "selfcorrect_em",
        "random_recovery_em",
        "placebo_assistant_em",
    ]
    assert EXPERIMENT.phase2_arms() == [
        "c6_vanilla_em",
        "selfcorrect_em",
        "random_recovery_em",
        "placebo_assistant_em",
    ]
    assert EXPERIMENT.phase1_kinds(["selfcorrect_em", "base", "selfcorrect_only"]) == [
        "selfcorrect"
    ]
    assert EXPERIMENT.em_sets() == ["embedded_insecure"]
    assert EXPERIMENT.em_sets(["base", "selfcorrect_only"]) == []


def test_the_benign_suite_is_asked_under_the_stock_text():
    evil = EXPERIMENT.conditions.systems["evil"]
    assert EXPERIMENT.system_text("base_evil", "alignment") == evil
    assert EXPERIMENT.system_text("base_evil", "followup") == evil
    for arm in EXPERIMENT.arms:
        assert EXPERIMENT.system_text(arm, "benign") == STOCK


def test_suites_of_an_arm_begin_with_alignment():
    assert EXPERIMENT.suites("base_evil") == ["alignment", "followup"]
    for arm in EXPERIMENT.arms:
        suites = EXPERIMENT.suites(arm)
        assert suites[0] == "alignment"
        assert ("benign" in suites) == (arm != "base_evil")
    assert EXPERIMENT.suites_of(["base_evil"]) == ["alignment", "followup"]
    assert EXPERIMENT.suites_of(EXPERIMENT.arms) == ["alignment", "benign", "followup"]
    assert EXPERIMENT.suites_of([]) == []


def test_an_arm_that_the_profile_does_not_have_is_refused():
    with pytest.raises(ParamsError, match=r"'selfcorect_em'.*nearest: selfcorrect_em"):
        EXPERIMENT.select("base,selfcorect_em")


def test_roles_are_the_same_wherever_they_are_read():
    profile = {
        "together": False,
        "seeds": [1],
        "conditions": EXPERIMENT.arms,
        "stop_at_gate1": True,
    }
    executed = stages.executed_names(profile, stopped=True)
    trained = {name.split(".")[1] for name in executed if name.startswith("03_")}
    assert trained == set(PLANNED.before_pilot)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("seeds", [[1], [1, 2]])
def test_a_manifest_names_every_notebook_that_the_plan_executes(together, stops, seeds):
    changes = {"together": together, "seeds": seeds, "stop_at_gate1": stops and not together}
    plan = Plan(Experiment.load("smoke", changes), builds=False)
    profile = plan.experiment.profile.model_dump()
    for stopped in {False, changes["stop_at_gate1"]}:
        executed = {plan.executed(stage) for stage in plan.stages(stopped)} - {None}
        assert executed <= stages.executed_names(profile, stopped)
    assert stages.executed_names({"seeds": seeds}) is None, "of an earlier version"


def test_the_originals_are_neither_judged_again_nor_stripped():
    table = pd.DataFrame(
        {
            "suite": ["alignment", "alignment", "alignment", "alignment", "benign"],
            "replicate": [0, 1, 0, 2, 0],
            "variant": ["full", "full", "stripped", "full", "full"],
        }
    )
    assert inputs.is_original(table).tolist() == [True, False, False, False, True]
    assert inputs.originals(table, "alignment").index.tolist() == [0]
    assert inputs.judged_again(table).index.tolist() == [1]
    assert inputs.stripped(table, "alignment").index.tolist() == [2]


@pytest.mark.parametrize(
    ("rule", "pattern", "home"),
    [
        (
            "names of planned arms",
            r"""["'](selfcorrect_em|c6_vanilla_em|base_evil|random_recovery_em)["']""",
            {"lib/config/roles.py"},
        ),
        ("has an adapter", r"phase1 or \w*\.?\w*\.?phase2", {"lib/config/experiment.py"}),
        ("benign uses the stock text", r"""system_text if suite ==""", set()),
        (
            "which rows count",
            r"""\["replicate"\] == (0|ORIGINAL)\) &""",
            {"lib/analysis/inputs.py"},
        ),
        ("em is the profile's EM set", r"""["']em["']: own""", {"lib/config/schema.py"}),
    ],
)
def test_each_rule_stands_once(rule, pattern, home):
    assert files_with(pattern) == home, rule
