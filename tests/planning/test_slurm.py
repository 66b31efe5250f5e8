"""The smoke pipeline over two seeds on a real Slurm of one node, which dies once on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import slurm

from lib.config.params import PARAMS_DIR, ROOT

LIMIT = 1200  # seconds for one step of the cluster, on a machine that does other work
SMALL = {
    "seeds": [1, 2],
    "conditions": ["base", "c6_vanilla_em", "selfcorrect_em"],
    "capability.limit": 2,
    "sampling.suites": {"alignment": {"samples": 1, "max_new_tokens": 4}},
}


def until(condition, what: str) -> None:
    """Look again and again until something holds."""
    ends = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < ends, f"{what}: not within {LIMIT} s"
        time.sleep(0.5)


def profile_of(folder: Path) -> Path:
    """The project's Slurm profile for a node of two cores, which is asked more often."""
    text = (PARAMS_DIR / "cluster" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    assert "cpus=8" in text and "latency-wait: 60" in text
    text = text.replace("cpus=8", "cpus=1").replace("latency-wait: 60", "latency-wait: 10")
    made = folder / "profile"
    made.mkdir()
    often = "slurm-init-seconds-before-status-checks: 2\n"
    (made / "config.yaml").write_text(text + often, encoding="utf-8")
    return made


@pytest.mark.long
def test_two_seeds_through_slurm_with_a_node_that_dies(tmp_path):
    if reason := slurm.why_not():
        pytest.skip(reason)
    runs = tmp_path / "runs"
    site = ROOT / "reports" / "pytest-slurm"
    with slurm.cluster(tmp_path) as cluster:
        until(lambda: cluster.nodes() == "idle", "the node")
        given = {
            "PROFILE": "smoke",
            "RUN": "pytest-slurm",
            "OVERRIDES": json.dumps(SMALL),
            "SELFCORRECT_RUNS_DIR": str(runs),
            "CLUSTER": str(profile_of(tmp_path)),
        }
        pipeline = subprocess.Popen(
            [sys.executable, "-m", "lib.pipeline"],
            cwd=ROOT,
            env=cluster.environment | given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until(lambda: "RUNNING" in cluster.jobs() or pipeline.poll() is not None, "a job")
            first = cluster.running()
            cluster.kill("slurmd")
            cluster.ask("scontrol", "update", f"nodename={cluster.host}", "state=down", "reason=t")
            until(lambda: "PENDING" in cluster.jobs(), "the job in the queue again")
            cluster.start_node()
            cluster.ask("scontrol", "update", f"nodename={cluster.host}", "state=resume")
            output, _ = pipeline.communicate(timeout=LIMIT)
        finally:
            pipeline.kill()
        assert pipeline.returncode == 0, output[-4000:]
        assert cluster.restarts(first) == 1, "the same job, which Slurm started again"
        jobs = cluster.jobs().splitlines()
    # 01; 02, 03 and 04 of two seeds; 05, 06 and the report.
    assert len(jobs) == 10 and all("COMPLETED" in job for job in jobs)
    for seed in SMALL["seeds"]:
        for arm in SMALL["conditions"]:
            assert len(
                pd.read_parquet(
                    runs / "pytest-slurm" / "samples" / f"seed{seed}" / f"{arm}.parquet"
                )
            )
    assert (runs / "pytest-slurm" / "stats" / "result.json").exists()
    assert (site / "index.html").exists()
