"""The set-up: which Python, which build of torch, which environment, what a machine is missing; no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from lib.config import params

ROOT = params.ROOT
BARE = {
    k: v
    for k, v in os.environ.items()
    if not k.startswith(("PIP_", "SELFCORRECT_", "MAKE", "MFLAGS"))
}


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


# Python


def test_the_tested_range_of_python_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].replace(" ", "") == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("version", "implementation", "threads", "named"),
    [
        ((3, 10, 9), "cpython", False, "Python 3.10"),
        ((3, 14, 0), "cpython", False, "Python 3.14"),
        ((4, 0, 0), "cpython", False, "Python 4.0"),
        ((3, 12, 1), "pypy", False, "pypy 3.12"),
        ((3, 13, 0), "cpython", True, "3.13t"),
    ],
)
def test_a_python_out_of_range_is_refused_in_one_line_with_the_remedy(
    version, implementation, threads, named
):
    from lib.setup import host

    problem = host.python_problem(version, implementation, threads)
    assert (
        named in problem
        and "3.11 to 3.13" in problem
        and "make PYTHON=python3.12" in problem
        and "\n" not in problem
    )


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_python_in_range_is_accepted(minor):
    from lib.setup import host

    assert host.python_problem((3, minor, 0)) is None


# Targets


def test_make_test_leaves_the_slow_tests_out_and_the_ci_runs_all():
    assert re.search(r'-m pytest .*-m "?\'?not slow', dry_run("test"))
    assert "make test-all" in (ROOT / ".ci" / "run").read_text()
    everything = dry_run("test-all")
    assert (
        "-m pytest" in everything and "slow" not in everything.split("-m pytest")[1].splitlines()[0]
    )


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sampling:\n  engine: vllm\njudge:\n  engine: embedded\n", "vllm"),
        (
            "judge:\n  engine: vllm\nsampling:\n  # why\n\n  engine: transformers  # not vllm\n",
            "transformers",
        ),
        ("sampling: {batch: 8, engine: 'vllm'}\n", "vllm"),
        ('sampling:\n  "engine": "vllm"\n', "vllm"),
        ("sampling:\n  # engine: vllm\n  engine: transformers\n", "transformers"),
        ("profile: x\n", None),
        ("", None),
    ],
)
def test_the_engine_is_read_without_a_yaml_library(text, found):
    from lib.setup import host

    assert host.engine(text, "{}") == found
    assert host.engine(text, '{"sampling.engine": "other"}') == "other"
    assert (
        host.engine(text, "no json") == host.engine(text, "[1]") == host.engine(text, "") == found
    )


def test_the_engine_agrees_with_the_profiles_as_loaded():
    from lib.setup import host

    for path in sorted((ROOT / "params").glob("*.yaml")):
        if path.stem not in {"conditions", "gates", "data", "prices"}:
            assert (
                host.engine(path.read_text(), "{}")
                == params.load_profile(path.stem).sampling.engine
            )


# What a machine is missing


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "no NVIDIA driver: nvidia-smi is missing"),
        (
            'echo "couldn\'t communicate with the NVIDIA driver"; exit 9',
            "couldn't communicate with the NVIDIA driver",
        ),
        ("true", "lists no GPU"),
        (
            "echo 'NVIDIA T4, 15360, 580.10'",
            "NVIDIA T4 has 15 GB; profile qwen7b needs a GPU with 40 GB",
        ),
        ("echo 'NVIDIA H100, 81559, 550.54'", "needs NVIDIA driver 580 or newer, this is 550.54"),
    ],
)
def test_a_machine_without_what_the_profile_needs_is_told_so_in_one_line(tmp_path, script, words):
    if script:
        stub(tmp_path, "nvidia-smi", script)
    done = subprocess.run(
        [sys.executable, "-m", "lib.setup.install", "host", ".venv-gpu", "qwen7b", "{}"],
        cwd=ROOT,
        env=BARE | {"PATH": str(tmp_path)} | ({} if not script else {"PATH": f"{tmp_path}:/bin"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and words in lines[0] and "use PROFILE=demo" in lines[0]


def test_a_fitting_gpu_lacks_nothing_and_a_bound_on_memory_lowers_what_is_needed():
    from lib.setup import host

    h100, small = ("NVIDIA H100", 79.6, "580.65"), ("NVIDIA L4", 22.5, "590.1")
    assert host.gpu_problems([small, h100], None, "qwen7b") == []
    assert "has 22 GB" in host.gpu_problems([small], None, "qwen7b")[0]
    assert host.gpu_problems([small], None, "qwen7b", '{"training.memory_gib": 22}') == []
    assert "aarch64" in host.gpu_problems([h100], None, "qwen7b", "{}", "aarch64")[0]
    assert host.disk_problem(3.0, 12, "/here") == "/here has 3.0 GB free, 12 GB are needed"
    assert host.disk_problem(12.0, 12, "/here") is None


# An installation from a small index on disk


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
    """A copy of the project in a folder whose name holds a space, and an index of tiny packages of the same names."""
    project, index = tmp_path / "my clone", tmp_path / "index"
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
    """Runs the set-up without network. Returns (exit code, output, the build of torch that can be imported)."""
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


# Locks


def test_the_conda_file_is_made_from_the_gpu_lock():
    from lib.setup import locks

    assert (ROOT / "environment.yml").read_text() == locks.conda_text()


def test_the_gpu_lock_holds_what_ran_and_all_that_the_project_names():
    from lib.setup import locks

    locked = {
        locks.normalise(name): version for name, version in locks.pins(locks.GPU_LOCK).items()
    }
    ran = {
        "torch": "2.11.0",
        "vllm": "0.26.0",
        "transformers": "5.17.0",
        "trl": "1.16.0",
        "liger-kernel": "0.8.5",
    }
    assert {name: locked[name] for name in ran} == ran
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [
        *project["dependencies"],
        *(n for extra in project["optional-dependencies"].values() for n in extra),
    ]
    assert [name for name in named if locks.normalise(name) not in locked] == []


@pytest.mark.parametrize(
    ("present", "found"),
    [
        ({"torch": "2.13.0+cpu", "lm-eval": "0.4.13"}, []),
        (
            {"torch": "2.12.0", "lm-eval": "0.4.13"},
            ["torch 2.12.0 is installed, the lock says 2.13.0"],
        ),
        ({"torch": "2.13.0"}, ["lm_eval is not installed, the lock says 0.4.13"]),
    ],
)
def test_differences_from_the_lock(present, found):
    from lib.setup import locks

    assert locks.differences({"torch": "2.13.0", "lm_eval": "0.4.13"}, present) == found
