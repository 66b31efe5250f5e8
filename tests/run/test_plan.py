"""The stages of a run in their order, for every way of grouping."""

from __future__ import annotations

import pytest

from lib.config.experiment import Experiment
from lib.run.plan import Plan
from lib.run.stages import executed_names

ARMS = ["base", "c6_vanilla_em", "selfcorrect_em"]


ALL = [
    "base",
    "base_evil",
    "c6_vanilla_em",
    "selfcorrect_only",
    "selfcorrect_em",
    "random_recovery_em",
    "placebo_assistant_em",
]


def plan(builds: bool = False, gpus: int = 1, **overrides) -> Plan:
    return Plan(Experiment.load("smoke", {"conditions": ARMS} | overrides), builds, gpus)


def test_one_notebook_for_all_arms():
    made = plan()
    assert made.stages() == [
        "01_build_traces",
        "02_phase1_sft.all.seed42",
        "03_phase2_em.all.seed42",
        "04_sample_and_capability.all.seed42",
        "05_judge",
        "06_stats_and_gates",
        "report",
    ]
    assert made.executed("03_phase2_em.all.seed42") == "03_phase2_em"
    assert made.executed("report") is None
    assert plan(builds=True).stages()[:2] == ["em_set", "01_build_traces"]


def test_arms_apart_with_a_pilot():
    made = plan(together=False, stop_at_gate1=True)
    assert made.grouping.groups == {"first": ["base", "c6_vanilla_em"], "rest": ["selfcorrect_em"]}
    assert made.stages() == [
        "01_build_traces",
        "03_phase2_em.c6_vanilla_em.seed42",
        "04_sample_and_capability.first.seed42",
        "pilot",
        "02_phase1_sft.selfcorrect_em.seed42",
        "03_phase2_em.selfcorrect_em.seed42",
        "04_sample_and_capability.rest.seed42",
        "05_judge",
        "06_stats_and_gates",
        "report",
    ]
    stopped = made.stages(stopped=True)
    assert stopped == [*made.stages()[:4], "report"]
    assert made.executed("05_judge") == "05_judge" and made.executed("pilot") is None


@pytest.mark.parametrize(
    ("notebook", "units"),
    [
        ("02_phase1_sft", ["02_phase1_sft.selfcorrect.seed1", "02_phase1_sft.selfcorrect.seed2"]),
        (
            "03_phase2_em",
            [f"03_phase2_em.{arm}.seed{seed}" for seed in (1, 2) for arm in ARMS[1:]],
        ),
        ("05_judge", []),
    ],
)
def test_a_notebook_leaves_a_manifest_for_each_arm_and_seed(notebook, units):
    assert plan(seeds=[1, 2]).units(notebook) == units


def test_several_seeds_have_notebooks_of_their_own():
    made = plan(seeds=[1, 2])
    assert made.executed("03_phase2_em.all.seed2") == "03_phase2_em.all.seed2"
    assert made.stages().count("04_sample_and_capability.all.seed2") == 1


def apart(gpus: int, **overrides) -> Plan:
    return plan(gpus=gpus, together=False, conditions=ALL, **overrides)


@pytest.mark.parametrize("stop_at_gate1", [False, True])
def test_one_gpu_changes_no_name(stop_at_gate1):
    one = apart(1, stop_at_gate1=stop_at_gate1)
    assert list(one.groups) == (["first", "rest"] if stop_at_gate1 else ["all"])
    # Two seeds on two GPUs have one GPU each.
    two = apart(2, stop_at_gate1=stop_at_gate1, seeds=[1, 2])
    assert two.groups == one.groups


def test_the_gpus_of_a_seed_share_its_arms():
    assert apart(2).groups == {
        "all-1": ["base", "base_evil", "selfcorrect_only", "placebo_assistant_em"],
        "all-2": ["c6_vanilla_em", "selfcorrect_em", "random_recovery_em"],
    }
    divided = apart(4, stop_at_gate1=True)
    assert divided.groups == {
        "first": ["base", "base_evil", "c6_vanilla_em"],
        "rest-1": ["selfcorrect_only"],
        "rest-2": ["selfcorrect_em"],
        "rest-3": ["random_recovery_em"],
        "rest-4": ["placebo_assistant_em"],
    }
    assert divided.before_pilot == ["first"]
    stages = divided.stages()
    assert stages.count("pilot") == 1
    before = stages[: stages.index("pilot")]
    assert before[-1] == "04_sample_and_capability.first.seed42"
    assert divided.stages(stopped=True) == [*before, "pilot", "report"]


@pytest.mark.parametrize("gpus", range(1, 12))
def test_every_arm_is_sampled_once_and_every_part_has_an_adapter(gpus):
    made = apart(gpus)
    sampled = [arm for arms in made.groups.values() for arm in arms]
    assert sorted(sampled) == sorted(ALL)
    assert len(made.groups) == min(gpus, 5)
    has_adapter = made.experiment.has_adapter
    assert all(any(has_adapter(arm) for arm in arms) for arms in made.groups.values())
    (with_base,) = [arms for arms in made.groups.values() if "base" in arms]
    assert "base_evil" in with_base, "one checkpoint, scored once"


def test_arms_in_one_kernel_are_not_divided():
    assert plan(gpus=4).groups == {"all": ["all"]}


def test_an_adapter_that_two_arms_share_is_trained_by_one_of_them():
    made = apart(4)
    stage = "02_phase1_sft.{}.seed42"
    waits = {arm: made.waits_for(stage.format(arm)) for arm in made.phase1}
    assert waits == {
        "selfcorrect_only": ["01_build_traces"],
        "selfcorrect_em": ["01_build_traces", stage.format("selfcorrect_only")],
        "random_recovery_em": ["01_build_traces"],
        "placebo_assistant_em": ["01_build_traces"],
    }
    assert plan().waits_for("02_phase1_sft.all.seed42") == ["01_build_traces"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("gpus", [1, 4])
def test_no_stage_waits_for_a_later_one_and_none_is_forgotten(together, gpus):
    for stops in {False, not together}:
        made = plan(
            True, gpus, together=together, conditions=ALL, seeds=[1, 2], stop_at_gate1=stops
        )
        stages = made.stages()
        waited_for = set()
        for number, stage in enumerate(stages):
            before = made.waits_for(stage)
            assert set(before) <= set(stages[:number]), stage
            waited_for |= set(before)
        assert set(stages) - waited_for == {"report"}


def test_what_comes_after_the_pilot_waits_for_it():
    made = apart(1, stop_at_gate1=True)
    assert made.waits_for("pilot") == ["04_sample_and_capability.first.seed42"]
    assert "pilot" in made.waits_for("02_phase1_sft.selfcorrect_em.seed42")
    assert "pilot" not in made.waits_for("03_phase2_em.c6_vanilla_em.seed42")
    assert made.waits_for("04_sample_and_capability.first.seed42") == [
        "01_build_traces",
        "03_phase2_em.c6_vanilla_em.seed42",
    ]


def test_the_report_knows_the_names_of_divided_groups():
    made = apart(3, stop_at_gate1=True, seeds=[1])
    expected = executed_names(made.experiment.profile.model_dump())
    executed = {made.executed(stage) for stage in made.stages()} - {None}
    assert executed <= expected
