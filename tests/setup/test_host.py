"""Which Python and which engine a set-up needs, and what a machine is missing for a profile."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bare import BARE, stub

from lib.config import params
from lib.setup import host

ROOT = params.ROOT


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
    problem = host.python_problem(version, implementation, threads)
    assert (
        named in problem
        and "3.11 to 3.13" in problem
        and "make PYTHON=python3.12" in problem
        and "\n" not in problem
    )


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_python_in_range_is_accepted(minor):
    assert host.python_problem((3, minor, 0)) is None


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
    assert host.engine(text, "{}") == found
    assert host.engine(text, '{"sampling.engine": "other"}') == "other"
    assert (
        host.engine(text, "no json") == host.engine(text, "[1]") == host.engine(text, "") == found
    )


def test_the_engine_agrees_with_the_profiles_as_loaded():
    for path in sorted((ROOT / "params").glob("*.yaml")):
        if path.stem not in {"conditions", "gates", "data", "prices"}:
            assert (
                host.engine(path.read_text(), "{}")
                == params.load_profile(path.stem).sampling.engine
            )


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
    h100 = ("NVIDIA H100", 79.6, "580.65")
    small = ("NVIDIA L4", 22.5, "590.1")
    assert host.gpu_problems([small, h100], None, "qwen7b") == []
    assert "has 22 GB" in host.gpu_problems([small], None, "qwen7b")[0]
    assert host.gpu_problems([small], None, "qwen7b", '{"training.memory_gib": 22}') == []
    assert "aarch64" in host.gpu_problems([h100], None, "qwen7b", "{}", "aarch64")[0]
    assert host.disk_problem(3.0, 12, "/here") == "/here has 3.0 GB free, 12 GB are needed"
    assert host.disk_problem(12.0, 12, "/here") is None
