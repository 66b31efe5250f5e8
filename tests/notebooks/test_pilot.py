"""Gate 1 early: the pilot judges few samples of two arms and decides only whether to stop."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pilots import ScriptedJudge, sampled

from lib import pilot
from lib.config import params
from lib.config.arguments import ParamsError
from lib.config.params import ROOT

PROFILE = params.load_profile("smoke", {"together": False, "stop_at_gate1": True})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return sampled


@pytest.mark.parametrize(("baseline", "stop"), [(85, True), (80.5, True), (80, False), (40, False)])
def test_it_stops_exactly_when_the_fine_tune_induced_nothing(run, baseline, stop):
    judge = ScriptedJudge()
    result = pilot.decide(run(base=90, c6_vanilla_em=baseline), PROFILE, judge)
    assert result.stop is stop and (result.decision.verdict == "em_not_induced") is stop
    assert judge.shown == 2 * 4 * pilot.SAMPLES, "ten samples per prompt and arm, alignment only"


def test_going_on_is_no_verdict_about_the_treatment(run):
    result = pilot.decide(run(base=90, c6_vanilla_em=40), PROFILE, ScriptedJudge())
    assert result.decision.verdict == "invalid"
    assert "selfcorrect_em" in result.decision.verdict_reason


def test_a_stopped_run_names_the_remedies(run):
    notes = " ".join(
        pilot.decide(run(base=90, c6_vanilla_em=89), PROFILE, ScriptedJudge()).context.notes
    )
    for remedy in ("data.em", "phase2.learning_rate", "phase2.epochs", "stop_at_gate1"):
        assert remedy in notes


def test_missing_samples_stop_the_pilot(run):
    with pytest.raises(FileNotFoundError, match="samples of c6_vanilla_em, seed 42 are missing"):
        pilot.decide(run(base=90), PROFILE, ScriptedJudge())


@pytest.mark.parametrize(
    "overrides",
    [
        {"stop_at_gate1": True},
        {"stop_at_gate1": True, "together": False, "conditions": ["base", "selfcorrect_em"]},
    ],
)
def test_a_profile_that_cannot_stop_at_gate_1_is_refused(overrides):
    with pytest.raises(ParamsError, match="stop_at_gate1"):
        params.load_profile("smoke", overrides)


def test_the_dag_runs_the_pilots_arms_first():
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "-p",
        "--cores",
        "1",
        "--nolock",
        "--quiet",
        "host",
        "--config",
        "profile=smoke",
        "run=pytest-dry",
    ]
    environment = {**os.environ, "OVERRIDES": '{"together": false, "stop_at_gate1": true}'}
    plan = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    text = plan.stdout + plan.stderr
    assert "04_sample_and_capability.first.seed42" in text
    assert "-p condition base,base_evil,c6_vanilla_em -p seed 42" in text
    assert "04_sample_and_capability.rest" not in text
    assert "03_phase2_em.c6_vanilla_em.seed42" in text and "pilot/result.json" in text
    assert "selfcorrect" not in text, "no other arm is planned before the pilot has spoken"
