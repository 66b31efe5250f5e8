"""Notebook parameters as papermill passes them: names as typed, whole seeds, flags as booleans."""

from __future__ import annotations

import json
import subprocess
import sys

import matplotlib.pyplot as plt
import psutil
import pytest
from cells import run_cells
from outside import foreign_folder, name_only

from lib.config import params
from lib.config.experiment import Experiment
from lib.config.params import ROOT
from lib.display import drawing
from lib.run import runs

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
NUMBERS = [1.1, 20261126, 7, True, None, float("inf")]


@pytest.fixture(autouse=True)
def moved(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path


def refusal(do) -> str:
    """The one line with which something is refused, which is no other failure."""
    error = None
    try:
        do()
    except Exception as caught:
        error = caught
    assert isinstance(error, ValueError) and "\n" not in str(error), repr(error)
    return str(error)


@pytest.mark.parametrize("value", NUMBERS)
def test_a_run_that_was_read_as_a_number_is_refused_with_the_way_to_give_it(smoke, value):
    told = refusal(lambda: runs.open_run(smoke, value))
    assert repr(value) in told and "-r run" in told


@pytest.mark.parametrize("typed", ["1.10", "007", "123_456", "1e5", "True", "nan"])
def test_a_run_that_papermill_read_as_a_number_is_taken_as_it_was_typed(smoke, monkeypatch, typed):
    class Papermill:
        def __init__(self, pid):
            pass

        def cmdline(self):
            return [
                "python",
                "-m",
                "papermill",
                "in.ipynb",
                "out.ipynb",
                "-p",
                "seed",
                "42",
                "-p",
                "run",
                typed,
            ]

    monkeypatch.setattr(psutil, "Process", Papermill)
    try:
        opened = runs.open_run(smoke, float(typed.replace("True", "1")))
    except TypeError as error:
        opened = error
    assert getattr(opened, "name", None) == typed, opened


@pytest.mark.parametrize(
    "name",
    [
        "my run",
        "..",
        "a/b",
        "-x",
        "~",
        "[a]",
        "{}",
        "a:b",
        "a;b",
        "a$b",
        "a'b",
        'a"b',
        "a\x07",
        "x" * 101,
        "nul",
        "COM1.txt",
        "end.",
        "*",
        "a\\b",
        "größe",
    ],
)
def test_a_name_that_a_shell_or_a_file_system_reads_otherwise_is_refused(name):
    assert "name" in refusal(lambda: runs.Run(name))


@pytest.mark.parametrize(
    "name",
    ["20261126", "1.10", "null", "true", "on", "2026-11-26", "a_b", "try+1", "x" * 100, "console"],
)
def test_a_sensible_name_is_a_folder_of_that_name(moved, name):
    assert runs.Run(name).dir == moved / "runs" / name


@pytest.mark.parametrize("profile", [1.1, 2026, "../params/smoke", "smoke.yaml/..", ""])
def test_a_profile_that_is_no_name_is_refused(profile):
    assert "profile" in refusal(lambda: params.load_profile(profile))


def test_a_condition_that_is_no_text_is_refused(smoke):
    for condition in (1.1, 7, True):
        assert "-r condition" in refusal(lambda: Experiment.of(smoke).select(condition))  # noqa: B023


@pytest.mark.parametrize("seed", [42.0, True, "42", -1, 2**32])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_seed_that_is_no_whole_number_in_range_is_refused(name, seed):
    given = {"profile": "smoke", "run": "r", "seed": seed}
    told = refusal(lambda: run_cells(name, until="notebook.start", **given))
    assert f"seed is {seed!r}" in told


@pytest.mark.parametrize("key", ["judgments", "capability", "treatment", "baseline"])
def test_what_06_reads_as_text_is_text(key):
    given = {"run": "r", "judgments": "somewhere", key: 2026}
    assert f"-r {key}" in refusal(
        lambda: run_cells("06_stats_and_gates", until="notebook.start", profile="smoke", **given)
    )


@pytest.mark.parametrize("done", ["maybe", 2, None, 0.0, ""])
def test_a_review_that_is_neither_done_nor_not_is_refused(done):
    told = refusal(
        lambda: run_cells(
            "06_stats_and_gates", until="notebook.start", profile="smoke", manual_review_done=done
        )
    )
    assert "manual_review_done" in told and repr(done) in told


@pytest.mark.parametrize(
    ("given", "expected"), [("false", False), ("No", False), ("0", False), ("yes", True), (1, True)]
)
def test_a_review_is_done_when_it_is_said_to_be(moved, monkeypatch, given, expected):
    monkeypatch.setattr(drawing, "save", name_only)  # figures are tested elsewhere
    foreign_folder(moved, treated=75.0, baseline=50.0)
    run_cells(
        "06_stats_and_gates",
        until="result_files.write(target",
        run="foreign",
        judgments=str(moved / "judgments"),
        capability=str(moved / "capability"),
        manual_review_done=given,
        overrides={"stats.resamples": 200},
    )
    plt.close("all")
    result = json.loads((moved / "runs" / "foreign" / "stats" / "result.json").read_text())
    assert result["beside"]["manual_review_done"] is expected


@pytest.mark.slow
def test_papermill_takes_a_name_as_typed(moved):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            "--no-progress-bar",
            "notebooks/02_phase1_sft.ipynb",
            str(moved / "out.ipynb"),
            "-p",
            "profile",
            "smoke",
            "-p",
            "run",
            "1.10",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and "of run '1.10' are missing" in done.stderr, done.stderr[-2000:]
