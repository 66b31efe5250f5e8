"""`make score`, as a user calls it from another folder."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from outside import ROOT, save
from tables import judgment_table

from lib.run.files import write_json


def make(*arguments, cwd=ROOT, **environment):
    # The environment that runs the tests is the one to score with: `-o` keeps make from looking at
    # its age.
    command = ["make", "-C", str(ROOT), "-s", "-o", ".venv/.ready", "score", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_score_says_in_one_line_what_it_cannot_use(tmp_path):
    done = make("JUDGMENTS=no where", "RUN=x", cwd=tmp_path, PWD=str(tmp_path))
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert line.startswith("JUDGMENTS=no where is not a folder")
    assert f"{tmp_path}/no where" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"RUN": "x"}, "JUDGMENTS is missing"),
        ({"JUDGMENTS": "."}, "RUN is missing"),
        ({"JUDGMENTS": ".", "RUN": "own"}, "artifacts of its own"),
        ({"JUDGMENTS": ".", "RUN": "a/b"}, "folder name"),
        ({"JUDGMENTS": "runs", "RUN": "x"}, "no seed<k>/<condition>.parquet"),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "TREATMENT": "min", "BASELINE": "theirs"},
            "nearest: 'mine'",
        ),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "TREATMENT": "mine", "BASELINE": "mine"},
            "name two arms",
        ),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "CAPABILITY": "judgments"},
            "no seed<k>/<condition>.json",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_before_a_kernel_starts(
    tmp_path, monkeypatch, given, words
):
    from lib import score

    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    write_json(tmp_path / "runs" / "own" / "manifest.json", {})
    save(tmp_path, {"mine": judgment_table(70), "theirs": judgment_table(60)})
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        score.plan({"CALLED_FROM": str(tmp_path), **given})
    assert "\n" not in str(error.value)


def test_folders_count_from_where_make_is_called(tmp_path):
    from lib import score

    save(tmp_path / "a folder", {"mine": judgment_table(70), "theirs": judgment_table(60)})
    _, parameters = score.plan(
        {"CALLED_FROM": str(tmp_path), "JUDGMENTS": "a folder/judgments", "RUN": "1.10"}
    )
    assert parameters["judgments"] == str(tmp_path / "a folder" / "judgments")
    assert parameters["run"] == "1.10"


@pytest.mark.slow
def test_make_score_renders_a_report(tmp_path):
    folder = tmp_path / "a folder"
    save(folder, {"mine": judgment_table(70), "theirs": judgment_table(60)})
    run = "pytest-score"
    done = make(
        "JUDGMENTS=a folder/judgments",
        f"RUN={run}",
        "TREATMENT=mine",
        "BASELINE=theirs",
        cwd=tmp_path,
        SELFCORRECT_RUNS_DIR=str(tmp_path / "runs"),
        PWD=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    site = Path(re.search(r"report: (\S+)", done.stdout).group(1))
    page = (ROOT / site).read_text(encoding="utf-8")
    assert "+10.0 points" in page and "06_stats_and_gates.mine_vs_theirs.html" in page
    assert (tmp_path / "runs" / run / "stats" / "mine_vs_theirs" / "result.json").exists()
