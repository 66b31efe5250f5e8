"""The smoke pipeline over two seeds on a real Slurm of one node."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import slurm

from lib.config.params import PARAMS_DIR, ROOT

LIMIT = 1200  # seconds for one step of the cluster, on a machine that does other work
TO_THE_END = 3600  # seconds for the whole pipeline there
RUN = "pytest-slurm"
SMALL = {
    "seeds": [1, 2],
    "conditions": ["base", "c6_vanilla_em", "selfcorrect_em"],
    "capability.limit": 2,
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


def start(cluster: slurm.Slurm, **given: str) -> subprocess.Popen:
    """`make report` of the smoke profile, which submits its stages."""
    given |= {"PROFILE": "smoke", "RUN": RUN, "OVERRIDES": json.dumps(SMALL)}
    return subprocess.Popen(
        [sys.executable, "-m", "lib.pipeline"],
        cwd=ROOT,
        env=cluster.environment | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def site():
    folder = ROOT / "reports" / RUN
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_two_seeds_through_slurm_with_a_stop_and_a_node_that_dies(tmp_path, site):
    """make is stopped while stage 01 works, started again, and the node dies under stage 01."""
    if reason := slurm.why_not():
        pytest.skip(reason)
    runs = tmp_path / "runs"
    notebooks = runs / RUN / "notebooks"
    given = {"SELFCORRECT_RUNS_DIR": str(runs), "CLUSTER": str(profile_of(tmp_path))}
    with slurm.cluster(tmp_path) as cluster:
        until(lambda: cluster.nodes() == "idle", "the node")

        stopped = start(cluster, **given)
        until(lambda: notebooks.exists() or stopped.poll() is not None, "stage 01 at work")
        stopped.terminate()
        output, _ = stopped.communicate(timeout=LIMIT)
        assert stopped.returncode == 128 + signal.SIGTERM, output[-4000:]
        until(lambda: "COMPLETING" not in cluster.jobs(), "the end of the job")
        assert cluster.jobs() == "1 CANCELLED"
        shutil.rmtree(notebooks)

        pipeline = start(cluster, **given)
        try:
            until(lambda: notebooks.exists() or pipeline.poll() is not None, "stage 01 at work")
            cluster.lose_node()
            until(lambda: "RUNNING" not in cluster.jobs(), "the loss of the node")
            assert "2 PENDING" in cluster.jobs(), "the job is in the queue again"
            cluster.return_node()
            output, _ = pipeline.communicate(timeout=TO_THE_END)
        finally:
            pipeline.kill()
        assert pipeline.returncode == 0, output[-4000:]
        assert cluster.restarts("2") == 1, "the same job, which Slurm started again"
        jobs = sorted(cluster.jobs().splitlines(), key=lambda job: int(job.split()[0]))
    # 01; 02, 03 and 04 of two seeds; 05, 06 and the report.
    assert jobs == ["1 CANCELLED", *(f"{number} COMPLETED" for number in range(2, 12))]
    for seed in SMALL["seeds"]:
        for arm in SMALL["conditions"]:
            table = runs / RUN / "samples" / f"seed{seed}" / f"{arm}.parquet"
            assert len(pd.read_parquet(table))
    assert (runs / RUN / "stats" / "result.json").exists()
    assert (site / "index.html").exists()
