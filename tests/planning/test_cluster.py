"""Cluster profiles, SkyPilot task and Kubernetes job: every key is one that its program knows."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from dataclasses import fields

import pytest
import yaml

from lib import pipeline
from lib.config.arguments import ParamsError
from lib.planning import clusters

CLUSTERS = clusters.CLUSTERS


def options(name: str) -> dict:
    return yaml.safe_load((CLUSTERS / name / "config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_every_key_of_a_profile_is_an_option_of_snakemake_or_of_its_plugin(name):
    told = subprocess.run(
        [sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True
    ).stdout
    plugin = f"snakemake_executor_plugin_{name}"
    own: set[str] = set()
    if importlib.util.find_spec(plugin) is not None:
        settings = importlib.import_module(plugin).ExecutorSettings
        own = {f"{name}-{field.name.replace('_', '-')}" for field in fields(settings)}
    for key in options(name):
        if key.startswith(f"{name}-"):
            if not own:
                pytest.skip(f"{plugin} is not installed; its own options are not checked")
            assert key in own
        else:
            assert f"--{key}" in told, key


def test_a_cluster_says_how_much_a_job_gets():
    assert [entry.split("=")[0] for entry in options("slurm")["config"]] == ["cpus", "gpus"]


def test_a_job_of_a_dead_node_is_queued_again():
    assert options("slurm")["slurm-requeue"] is True


def test_an_unknown_cluster_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSTER", "slrum")
    with pytest.raises(ParamsError, match=r"params/cluster/slrum/config.yaml.*nearest: 'slurm'"):
        clusters.folder()
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    monkeypatch.setenv("CLUSTER", str(tmp_path))
    assert clusters.folder() == tmp_path


@pytest.fixture
def host(tmp_path, monkeypatch):
    """`host(text)`: a host whose Slurm has no programs, or a scontrol that runs this shell text."""
    monkeypatch.setenv("CLUSTER", "slurm")
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def make(scontrol: str) -> None:
        for name in clusters.SLURM_PROGRAMS:
            (programs / name).write_text(f"#!/bin/sh\n{scontrol}\n")
            (programs / name).chmod(0o755)

    return make


DOWN = "echo 'Slurmctld(primary) at head is DOWN'; echo '** RESTORE **'; exit 1"
NO_CONF = "echo 'error: fetch_config' >&2; echo 'fatal: no configuration source' >&2; exit 1"


@pytest.mark.parametrize(
    ("scontrol", "reason"),
    [
        (None, "sbatch, squeue, scancel, scontrol not found"),
        (DOWN, "scontrol ping: Slurmctld(primary) at head is DOWN"),
        (NO_CONF, "scontrol ping: fatal: no configuration source"),
        ("exit 3", "scontrol ping: exit code 3"),
        ("exec /bin/sleep 60", "scontrol ping: nothing within 0.1 s"),
    ],
)
def test_a_host_without_a_slurm_controller_is_told_so_before_any_work(
    host, scontrol, reason, tmp_path, monkeypatch, capsys
):
    if scontrol:
        host(scontrol)
    monkeypatch.setattr(clusters, "PATIENCE", 0.1 if "sleep" in str(scontrol) else 60)
    monkeypatch.setattr(pipeline.preflight, "check", lambda *_: pytest.fail("read the data"))
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("PROFILE", "smoke")
    assert pipeline.main() == 2
    told = capsys.readouterr().err
    begins = "make report: CLUSTER is 'slurm', and no Slurm controller answers this host"
    assert told.startswith(f"{begins} ({reason}); start make on a host that submits")
    assert told.count("\n") == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "scontrol",
    ["echo 'Slurmctld(primary) at head is UP'", f"echo 'Slurmctld(backup) at b is UP'; {DOWN}"],
)
def test_a_slurm_controller_that_answers_is_enough(host, scontrol):
    host(scontrol)
    clusters.check_controller()


@pytest.mark.parametrize(("executor", "refused"), [("local", False), ("slurm", True)])
@pytest.mark.usefixtures("host")
def test_only_a_profile_of_slurm_asks_for_its_controller(monkeypatch, tmp_path, executor, refused):
    (tmp_path / "config.yaml").write_text(f"executor: {executor}\n")
    monkeypatch.setenv("CLUSTER", str(tmp_path))
    if refused:
        with pytest.raises(ParamsError, match="no Slurm controller"):
            clusters.check_controller()
    else:
        clusters.check_controller()
    monkeypatch.setenv("CLUSTER", "local")
    clusters.check_controller()


@pytest.mark.parametrize(
    ("cluster", "devices", "is_sweep", "added"),
    [
        ("local", [], False, []),
        ("local", ["0"], False, []),
        ("local", ["0", "1"], False, ["--config", "gpus=2", "--resources", "gpu=2"]),
        ("slurm", [], True, ["--keep-going"]),
    ],
)
def test_several_gpus_and_a_sweep_add_their_options(monkeypatch, cluster, devices, is_sweep, added):
    monkeypatch.setenv("CLUSTER", cluster)
    command = pipeline.snakemake(devices, is_sweep=is_sweep)
    assert command[1:5] == ["-m", "snakemake", "--profile", f"params/cluster/{cluster}"]
    assert command[5:] == added


def test_a_cluster_does_not_count_the_gpus_of_the_host_that_submits(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("CLUSTER", "slurm")
    assert clusters.gpus_here() == []
    monkeypatch.setenv("CLUSTER", "local")
    assert clusters.gpus_here() == ["0", "1"]


def test_a_job_of_a_cluster_has_as_many_cores_on_the_node_as_it_reserved():
    of_the_profile = {"cpus": 8, "gpus": 2}
    assert clusters.cores(of_the_profile, here=None) == 8
    assert clusters.cores(of_the_profile, here=64, shares=2) == 8


def test_jobs_of_one_host_share_its_cores():
    assert clusters.cores({}, here=8) == 8
    assert clusters.cores({}, here=8, shares=3) == 2
    assert clusters.cores({}, here=1, shares=3) == 1


def test_a_clusters_profile_says_among_how_many_gpus_a_seed_is_divided(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSTER", str(tmp_path))
    file = tmp_path / "config.yaml"
    for text, shares in (("jobs: 1\n", 1), ("config: [cpus=2, gpus=4]\n", 4)):
        file.write_text(text)
        assert clusters.shares() == shares
    file.write_text("config: [gpus=many]\n")
    with pytest.raises(ParamsError, match="gpus=many"):
        clusters.shares()


def test_the_skypilot_task_asks_for_one_h100_and_holds_no_key():
    task = yaml.safe_load((CLUSTERS / "skypilot.yaml").read_text(encoding="utf-8"))
    assert task["resources"]["accelerators"] == "H100:1" and task["resources"]["autostop"]
    assert task["secrets"] == {"ANTHROPIC_API_KEY": None}
    assert 'make report PROFILE="$PROFILE" RUN="$RUN"' in task["run"]
    subprocess.run(["bash", "-n", CLUSTERS / "skypilot.sh"], check=True)


def test_the_kubernetes_job_is_valid():
    checker = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is missing")
    job = yaml.safe_load((CLUSTERS / "kubernetes.yaml").read_text(encoding="utf-8"))
    checker.validate(job, "1.32", strict=True)


def test_skypilot_reads_the_task(monkeypatch):
    sky = pytest.importorskip("sky", reason="skypilot is not installed")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    task = sky.Task.from_yaml(str(CLUSTERS / "skypilot.yaml"))
    (resources,) = task.resources
    assert resources.accelerators == {"H100": 1}
