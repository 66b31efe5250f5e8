"""Jobs of one host and its GPUs: each has one of its own, and a job that is killed leaves it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from bare import stub

from lib.config.params import ROOT
from lib.run import gpus
from lib.run.runs import Run

# A job says which GPU it sees, then works until it is told to end.
JOB = "import os, sys; print('sees', os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"


@pytest.fixture
def start(tmp_path):
    """Starts a job; all jobs share two GPUs. Those that are left are ended with the test."""
    started: list[subprocess.Popen] = []

    def job(devices: str = "0,GPU-7") -> subprocess.Popen:
        environment = {
            "SELFCORRECT_RUNS_DIR": str(tmp_path),
            "CUDA_VISIBLE_DEVICES": devices,
            "PYTHONPATH": str(ROOT),
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "lib.run.gpus", sys.executable, "-c", JOB],
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen, count: int) -> list[str]:
    return [process.stdout.readline().strip() for _ in range(count)]


def test_two_jobs_see_different_gpus_and_a_third_waits_for_the_first_to_end(start):
    first, second = start(), start()
    seen = [lines(first, 2)[1], lines(second, 2)[1]]
    assert sorted(seen) == ["sees 0", "sees GPU-7"]
    third = start()
    assert lines(third, 1) == ["all GPUs are in use (0, GPU-7); waiting for one"]
    first.communicate("\n")
    assert lines(third, 2)[1] == seen[0]


def test_a_job_that_is_killed_leaves_its_gpu(start):
    first, second = start(), start()
    lost = lines(first, 2)[1]
    lines(second, 2)
    third = start()
    assert "waiting" in lines(third, 1)[0]
    os.kill(first.pid, signal.SIGKILL)
    assert lines(third, 2)[1] == lost


def test_with_one_gpu_or_none_the_command_runs_as_it_is(start):
    for devices in ("3", "-1"):
        assert lines(start(devices), 1) == [f"sees {devices}"]


@pytest.mark.parametrize(
    ("named", "devices"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , GPU-ab", ["2", "GPU-ab"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        (None, ["0", "1"]),
    ],
)
def test_the_gpus_that_a_program_would_see(monkeypatch, tmp_path, named, devices):
    stub(tmp_path, "nvidia-smi", "echo 'H100, 81559, 580.1'; echo 'H100, 81559, 580.1'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus.visible() == devices


def test_hosts_that_share_the_folder_have_locks_of_their_own(monkeypatch, tmp_path):
    taken = []
    for host in ("a", "b"):
        monkeypatch.setattr(gpus.socket, "gethostname", lambda host=host: host)
        taken.append(gpus.take(["0"], tmp_path))
    assert [device for device, _ in taken] == ["0", "0"]
    for _, held in taken:
        os.close(held)


def test_how_the_work_was_divided_is_kept_with_the_run(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = Run("mine")
    gpus.remember(run, 1)
    assert gpus.remembered(run) == 1 and not run.dir.exists()
    gpus.remember(run, 4)
    assert gpus.remembered(run) == 4
