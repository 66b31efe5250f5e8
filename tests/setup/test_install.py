"""The installation, without network: targets of make, the build of torch, what is continued."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from bare import BARE, stub

from lib.config import params
from lib.setup.install import LOCKS

ROOT = params.ROOT


def dry_run(*arguments, folder=ROOT):
    """What make would do, without doing it, on a machine where no environment is ready."""
    done = subprocess.run(
        ["make", "-n", "-B", "-C", str(folder), *arguments],
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_make_test_leaves_the_slow_tests_out_and_the_ci_runs_all():
    assert re.search(r'-m pytest .*-m "?\'?not slow', dry_run("test"))
    assert "make test-all" in (ROOT / ".ci" / "run").read_text()
    everything = dry_run("test-all")
    assert (
        "-m pytest" in everything and "slow" not in everything.split("-m pytest")[1].splitlines()[0]
    )


def test_make_lint_looks_at_style_and_types():
    said = dry_run("lint")
    assert "ruff check" in said and "ruff format --check" in said and "bin/basedpyright" in said
    assert "make lint" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize(
    ("arguments", "gpu"),
    [
        (["PROFILE=qwen7b"], True),
        (["PROFILE=smollm2_gpu"], True),
        (["PROFILE=demo"], False),
        (["PROFILE=smoke"], False),
        ([], False),
        (['OVERRIDES={"sampling.engine": "vllm"}'], True),
        (["PROFILE=qwen7b", 'OVERRIDES={"sampling.engine": "transformers"}'], False),
        (["PROFILE=it's"], False),
    ],
)
def test_a_profile_that_samples_with_vllm_has_an_environment_of_its_own(arguments, gpu):
    said = dry_run("report", *arguments)
    assert (".venv-gpu/bin/" in said) == gpu and (".venv/bin/" in said) != gpu


def light_project(folder: Path, ready: tuple[str, ...]) -> Path:
    """A project folder with these environments, as make sees it."""
    for name in ("Makefile", "lib", "params", "pyproject.toml", *LOCKS.values()):
        (folder / name).symlink_to(ROOT / name)
    for name in ready:
        (folder / name).mkdir()
        (folder / name / ".ready").write_text("")
    return folder


@pytest.mark.parametrize("target", ["plan", "status", "compare", "score", "unpack"])
@pytest.mark.parametrize(
    ("ready", "used"), [((), ".venv"), ((".venv-gpu",), ".venv-gpu"), ((".venv",), ".venv")]
)
def test_a_target_that_needs_no_gpu_runs_without_one_in_what_is_there(
    tmp_path, target, ready, used
):
    said = dry_run(target, "PROFILE=qwen7b", folder=light_project(tmp_path, ready))
    assert f"{used}/bin/python" in said and "lib.setup.install host" not in said


@pytest.mark.parametrize(
    ("cluster", "ready", "checked"),
    [
        ([], (".venv-gpu",), True),
        (["CLUSTER=local"], (".venv-gpu",), True),
        (["CLUSTER=slurm"], (), True),
        (["CLUSTER=slurm"], (".venv-gpu",), False),
        (["CLUSTER=/a/folder"], (".venv-gpu",), False),
    ],
)
def test_a_host_that_only_submits_needs_no_gpu_once_the_environment_is_there(
    tmp_path, cluster, ready, checked
):
    said = dry_run("report", "PROFILE=qwen7b", *cluster, folder=light_project(tmp_path, ready))
    assert ("lib.setup.install host" in said) == checked and ".venv-gpu/bin/python" in said


def wheel(index: Path, name: str, version: str, code: str = "", needs: str = "") -> None:
    """A wheel of one module."""
    info = f"{name}-{version}.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", code)
        file.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        )
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(
            f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )


OTHERS = (
    "numpy",
    "pandas",
    "scipy",
    "seaborn",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "lm_eval",
    "anthropic",
    "papermill",
    "jupytext",
    "nbconvert",
    "snakemake",
)


@pytest.fixture
def place(tmp_path):
    """A copy of the project in a folder with a space in its name, and an index of tiny packages."""
    project = tmp_path / "my clone"
    index = tmp_path / "index"
    index.mkdir()
    shutil.copytree(ROOT / "lib" / "setup", project / "lib" / "setup")
    for name in ("Makefile", "pyproject.toml", "requirements-cuda.lock"):
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "params", project / "params")
    shutil.copy(ROOT / "lib" / "__init__.py", project / "lib" / "__init__.py")
    (project / "lib" / "run").mkdir()
    for name in ("__init__.py", "runs.py"):  # imported after the installation, as a check
        (project / "lib" / "run" / name).touch()
    (project / "requirements.lock").write_text(
        "".join(f"{name}==1.0\n" for name in OTHERS) + "torch==2.13.0\nlibcuda_t==1.0\n"
    )
    for name in OTHERS:
        wheel(index, name, "1.0")
    wheel(index, "torch", "2.13.0", "import extra_cuda\nBUILD = 'cuda'\n", needs="extra_cuda")
    wheel(index, "extra_cuda", "1.0", "import libcuda_t\n", needs="libcuda_t")
    wheel(index, "libcuda_t", "1.0")
    wheel(index, "libcuda_t", "2.0", "raise ImportError('a pin has moved')")
    return project, index


def set_up(place, tmp_path, **changes):
    """Run the set-up without network. Returns (exit code, output, build of torch)."""
    project, index = place
    environment = (
        BARE
        | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index),
            "PIP_CONFIG_FILE": "/dev/null",
            "HOME": str(tmp_path),
            "SELFCORRECT_TORCH_INDEX": "",
        }
        | changes
    )
    done = subprocess.run(
        ["make", "-C", str(project), ".venv/.ready", f"PYTHON={sys.executable}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    imported = subprocess.run(
        [project / ".venv/bin/python", "-c", "import torch; print(torch.BUILD)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, imported.stdout.strip()


def test_where_the_index_has_only_the_cuda_build_it_comes_with_its_libraries_and_no_pin_moves(
    place, tmp_path
):
    code, said, build = set_up(place, tmp_path)
    assert build == "cuda", said
    assert code == 0 and (place[0] / ".venv/.ready").exists()
    assert "GB to download" in said and "packages of the lock" in said


@pytest.mark.slow
def test_without_a_gpu_the_cpu_build_is_taken_where_there_is_one_and_with_a_gpu_it_is_not(
    place, tmp_path
):
    wheel(place[1], "torch", "2.13.0+cpu", "BUILD = 'cpu'\n")
    code, said, build = set_up(place, tmp_path)
    assert (code, build) == (0, "cpu"), said
    shutil.rmtree(place[0] / ".venv")
    stub(tmp_path / "bin", "nvidia-smi", "echo 'NVIDIA H100, 81559, 580.65'")
    code, said, build = set_up(place, tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert (code, build) == (0, "cuda"), said


@pytest.mark.slow
def test_an_interrupted_installation_is_continued_and_a_broken_one_is_never_ready(place, tmp_path):
    wheel(place[1], "snakemake", "1.0", "raise ImportError('libcudnn.so.9 is missing')")
    code, said, _ = set_up(place, tmp_path)
    assert code != 0 and "libcudnn.so.9" in said and "run make again" in said
    assert not (place[0] / ".venv/.ready").exists()
    wheel(place[1], "snakemake", "1.0")
    (site,) = (place[0] / ".venv").glob("lib/python*/site-packages")
    (site / "snakemake-1.0.dist-info" / "RECORD").unlink()  # as a killed pip leaves it
    code, said, build = set_up(place, tmp_path)
    assert (code, build) == (0, "cuda") and "what is missing or has changed" in said, said


def test_a_pin_that_cannot_be_had_is_one_line_with_the_remedy(place, tmp_path):
    (place[1] / "seaborn-1.0-py3-none-any.whl").unlink()
    code, said, _ = set_up(place, tmp_path)
    lines = [
        line for line in said.splitlines() if line.startswith("make: ") and "seaborn==1.0" in line
    ]
    assert code != 0 and len(lines) == 1 and "run the same make command again" in lines[0]
