"""The runs of a command, what their jobs need, and the DAG of a sweep as Snakemake plans it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lib.config.arguments import ParamsError
from lib.config.params import ROOT, load_profile
from lib.planning import needs
from lib.planning.planned_run import comparison, named_runs


def test_a_command_names_one_run_or_the_runs_of_a_sweep():
    (one,) = named_runs({"PROFILE": "smoke"})
    assert (one.run.name, one.overrides, one.files[-1]) == ("smoke", "{}", "params/smoke.yaml")
    two = named_runs({"SWEEP": "smoke", "PROFILE": "demo"})
    assert [run.run.name for run in two] == ["smoke-lr-1e-3", "smoke-lr-1e-4"]
    assert two[1].profile.phase2.learning_rate == 1e-4
    assert str(comparison(two)) == "reports/smoke-lr-1e-3,smoke-lr-1e-4/index.html"


def test_a_run_of_a_sweep_that_needs_its_ladder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    with pytest.raises(ParamsError, match=r"bases.yaml: run 'base-qwen05b'.*make ladder"):
        named_runs({"SWEEP": "bases"})


@pytest.mark.parametrize(
    ("profile", "overrides", "available", "with_gpu"),
    [
        ("smoke", {}, 0, ""),
        ("smoke", {}, 2, "build_traces em_set phase1 phase2 sample"),
        ("qwen7b", {}, 0, "build_traces em_set phase1 phase2 sample"),
        (
            "smoke",
            {"judge.engine": "probe"},
            1,
            "em_set build_traces phase1 phase2 sample judge pilot",
        ),
    ],
)
def test_a_job_takes_a_gpu_only_if_it_needs_one(profile, overrides, available, with_gpu):
    loaded = load_profile(profile, overrides)
    rules = (*needs.TRAINS_OR_SAMPLES, *needs.JUDGES, "stats", "site")
    taking = {rule for rule in rules if needs.gpus(rule, loaded, available)}
    assert taking == set(with_gpu.split())


def test_a_large_base_reserves_more_memory_than_a_small_one():
    small, large = load_profile("smoke"), load_profile("qwen7b")
    assert needs.memory_mb("phase2", small) < needs.memory_mb("phase2", large)
    assert needs.memory_mb("site", large) == needs.memory_mb("site", small)


def dag(tmp_path, *config: str, **given: str) -> str:
    """What Snakemake would do."""
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--cores", "4", "--nolock"]
    return subprocess.run(
        [*command, *(["--config", *config] if config else [])],
        cwd=ROOT,
        env=os.environ | {"SELFCORRECT_RUNS_DIR": str(tmp_path)} | given,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def count(text: str, rule: str) -> int:
    return int(re.search(rf"^{rule} +(\d+)$", text, re.MULTILINE).group(1))


def test_a_sweep_fans_out_over_runs_and_ends_in_a_comparison(tmp_path):
    text = dag(tmp_path, SWEEP="smoke")
    assert {rule: count(text, rule) for rule in ("phase2", "stats", "site", "comparison")} == {
        "phase2": 2,
        "stats": 2,
        "site": 2,
        "comparison": 1,
    }
    assert "run smoke-lr-1e-4, stage 1 of 7: 01_build_traces" in text
    assert "lib.report.compare smoke-lr-1e-3 smoke-lr-1e-4" in text


def test_gpus_divide_threads_and_groups(tmp_path):
    given = {"PROFILE": "smoke", "OVERRIDES": '{"together": false}', "CUDA_VISIBLE_DEVICES": "0,1"}
    text = dag(tmp_path, "gpus=2", **given)
    assert count(text, "sample") == 2 and "group=all-2" in text
    jobs = [job for job in text.split("\n\n") if "rule sample:" in job]
    assert all("threads: 2" in job and "gpu=1" in job for job in jobs) and jobs
    alone = dag(tmp_path, **given | {"CUDA_VISIBLE_DEVICES": ""})
    assert count(alone, "sample") == 1 and "threads: 4" in alone and "gpu=1" not in alone
