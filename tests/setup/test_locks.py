"""The locks hold what the project names and what ran, and differences from them are said."""

from __future__ import annotations

import itertools
import tomllib

import pytest

from lib.config import params
from lib.setup import locks

ROOT = params.ROOT


def test_the_tested_range_of_python_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].replace(" ", "") == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in (ROOT / "README.md").read_text()


def test_the_conda_file_is_made_from_the_gpu_lock():
    assert (ROOT / "environment.yml").read_text() == locks.conda_text()


def test_the_gpu_lock_holds_what_ran_and_all_that_the_project_names():
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
        *itertools.chain(*project["optional-dependencies"].values()),
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
    assert locks.differences({"torch": "2.13.0", "lm_eval": "0.4.13"}, present) == found
