"""Single notebooks by papermill: what is missing is named, judgments from elsewhere are scored."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from outside import foreign_folder
from smoke_run import papermill

from lib.config.params import ROOT


def test_phase2_without_phase1_names_the_adapter_and_the_command(tmp_path):
    done = papermill(
        "notebooks/03_phase2_em.ipynb",
        tmp_path / "out.ipynb",
        cwd=ROOT,
        profile="smoke",
        run="pytest-none",
        condition="selfcorrect_em",
    )
    assert done.returncode != 0
    assert "pytest-none/adapters/seed42/phase1/selfcorrect" in done.stderr
    assert (
        "papermill notebooks/02_phase1_sft.ipynb out.ipynb -p profile smoke "
        "-p condition selfcorrect_em" in done.stderr
    )


def test_judgments_from_elsewhere_are_scored(tmp_path):
    foreign_folder(tmp_path, treated=75.0, baseline=50.0)
    environment = {**os.environ, "SELFCORRECT_RUNS_DIR": str(tmp_path / "runs")}
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        "notebooks/06_stats_and_gates.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "run",
        "foreign",
        "-p",
        "judgments",
        str(tmp_path / "judgments"),
        "-p",
        "capability",
        str(tmp_path / "capability"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / "runs/foreign/stats/result.json").read_text())
    assert result["verdict"] == "supported_strong"
    assert result["n_prompts"] == 40
    assert {check["status"] for check in result["checks"]} == {"not run"}
    assert any("Not confirmatory" in note for note in result["notes"])
