"""Where caches go: a folder that cannot be written is replaced before any work, or refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lib.config import params

NOWHERE = "/dev/null/x"  # a path below a file: not even root can write there
PROBE = """
import sys
from lib.setup.caches import cache_dir
import os
for name in sys.argv[1:]:
    print(name, os.environ.get(name, ""))
print("cache", cache_dir("probe"))
"""


def probe(tmp_path, *names, **changes):
    """Import lib in a fresh process. Returns (variables by name, stderr, exit code)."""
    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("HF_", "XDG_", "TRITON", "MPL", "JUPYTER"))
    }
    environment |= {
        "PYTHONPATH": str(params.ROOT),
        "SELFCORRECT_RUNS_DIR": str(tmp_path / "runs"),
        "HOME": str(tmp_path),
    } | changes
    environment = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=params.ROOT,
    )
    values = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return values, done.stderr, done.returncode


@pytest.mark.parametrize(
    "name",
    [
        "HF_HOME",
        "HF_DATASETS_CACHE",
        "TRANSFORMERS_CACHE",
        "XDG_CACHE_HOME",
        "MPLCONFIGDIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "VLLM_CACHE_ROOT",
        "TORCH_HOME",
    ],
)
def test_a_cache_that_cannot_be_written_moves_to_the_projects_before_any_work(tmp_path, name):
    values, said, code = probe(tmp_path, name, **{name: NOWHERE})
    assert code == 0 and values[name].startswith(str(tmp_path / "runs" / ".cache"))
    lines = [line for line in said.splitlines() if name in line]
    assert len(lines) == 1 and NOWHERE in lines[0]


@pytest.mark.parametrize("home", [NOWHERE, "/dev/null"])
def test_a_home_that_cannot_be_written_moves_every_cache(tmp_path, home):
    values, _, code = probe(tmp_path, "HOME", "HF_HOME", HOME=home)
    assert code == 0
    assert all(
        values[name].startswith(str(tmp_path / "runs" / ".cache")) for name in ("HOME", "HF_HOME")
    )


def test_a_writable_folder_of_the_users_stays(tmp_path):
    mine = tmp_path / "models"
    values, said, _ = probe(tmp_path, "HF_HOME", "HOME", HF_HOME=str(mine))
    assert (
        values == {"HF_HOME": str(mine), "HOME": str(tmp_path), "cache": values["cache"]}
        and said == ""
    )


def test_models_and_login_in_the_default_place_stay(tmp_path):
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    values, said, _ = probe(tmp_path, "HF_HOME")
    assert values["HF_HOME"] == "" and said == ""


def test_a_file_where_hugging_face_keeps_data_sets_counts_as_not_writable(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "datasets").write_text("a file")
    values, said, _ = probe(tmp_path, "HF_HOME", HF_HOME=str(tmp_path / "mine"))
    assert (
        values["HF_HOME"] == str(tmp_path / "runs" / ".cache" / "huggingface")
        and "cannot be written" in said
    )


def test_the_cache_follows_the_runs(tmp_path):
    values, _, _ = probe(tmp_path, "HOME")
    assert values["cache"] == str(tmp_path / "runs" / ".cache" / "probe")


@pytest.mark.parametrize(
    "changes", [{"SELFCORRECT_CACHE_DIR": NOWHERE}, {"SELFCORRECT_RUNS_DIR": NOWHERE}]
)
def test_a_cache_of_the_project_that_cannot_be_written_is_refused_with_the_remedy(
    tmp_path, changes
):
    _, said, code = probe(tmp_path, "HOME", **changes)
    last = said.strip().splitlines()[-1]
    assert code != 0 and NOWHERE in last and "SELFCORRECT_CACHE_DIR=FOLDER" in last
