"""The stages of a run in their order, for every way of grouping."""

from __future__ import annotations

import pytest

from lib.config.experiment import Experiment
from lib.run.plan import Plan

ARMS = ["base", "c6_vanilla_em", "selfcorrect_em"]


def plan(builds: bool = False, **overrides) -> Plan:
    return Plan(Experiment.load("smoke", {"conditions": ARMS} | overrides), builds)


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
