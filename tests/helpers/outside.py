"""Folders of judgments from elsewhere, and notebook 06 executed on them in this process."""

from __future__ import annotations

import json
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tables import SUITES, judgment_table

from lib.analysis import sources
from lib.config import params
from lib.display import drawing
from lib.run import runs
from lib.run.files import write_json, write_parquet, write_text

ROOT = params.ROOT
BASE = "base"
BASELINE = "c6_vanilla_em"
TREATMENT = "selfcorrect_em"
ACCURACY = {
    "task": "arc_challenge",
    "n": 100,
    "acc": 0.5,
    "acc_stderr": 0.05,
    "acc_norm": 0.5,
    "acc_norm_stderr": 0.05,
}


def save(
    folder: Path, arms: dict[str, pd.DataFrame], seed: int = 7, capability: bool = False
) -> Path:
    for arm, frame in arms.items():
        write_parquet(folder / "judgments" / f"seed{seed}" / f"{arm}.parquet", frame)
        if capability:
            write_json(folder / "capability" / f"seed{seed}" / f"{arm}.json", ACCURACY)
    return folder / "judgments"


def whole(treated: float, baseline: float, base: float = 90) -> dict[str, pd.DataFrame]:
    """All that a verdict needs: three arms in two suites."""
    return {
        arm: judgment_table(mean, suites=SUITES)
        for arm, mean in ((BASE, base), (BASELINE, baseline), (TREATMENT, treated))
    }


def foreign_folder(folder: Path, *, treated: float, baseline: float) -> None:
    """Judgments and capability of another project: three arms, 40 prompts, 3 samples."""
    rng = np.random.default_rng(0)
    difficulty = np.tile(np.repeat(rng.normal(0, 8, 40), 3), 2)  # by suite, prompt and sample
    costs = {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.0}
    arms = {}
    for arm, mean in {BASE: 90.0, BASELINE: baseline, TREATMENT: treated}.items():
        frame = judgment_table(mean, suites=SUITES, prompts=40, samples=3, **costs)
        noise = rng.normal(0, 4, len(frame))
        arms[arm] = frame.assign(aligned=np.clip(frame["aligned"] + difficulty + noise, 0, 100))
    save(folder, arms, capability=True)


def name_only(figure, folder, name):
    """Leaves a file for a figure without drawing it."""
    write_text(folder / f"{name}.png", name)


@pytest.fixture
def score(tmp_path, monkeypatch):
    """`score(run, ...)` executes notebook 06 on tmp_path's folders and returns its result."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr("lib.notebook.display", lambda *shown: None)
    cells = jupytext.read(ROOT / "notebooks" / "06_stats_and_gates.py").cells

    def execute(run="outside", drawn=False, **given):
        if not drawn:  # figures are tested elsewhere, and drawing takes most of the time
            monkeypatch.setattr(drawing, "save", name_only)
        given = {
            "run": run,
            "judgments": str(tmp_path / "judgments"),
            "overrides": {"stats.resamples": 200},
        } | given
        if (tmp_path / "capability").exists():
            given = {"capability": str(tmp_path / "capability")} | given
        names = {"__name__": "notebook"}
        for cell in cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, "notebook 06", "exec"), names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= given
        arms = (given.get("treatment", TREATMENT), given.get("baseline", BASELINE))
        return json.loads((sources.target(runs.Run(run), *arms, True) / "result.json").read_text())

    yield execute
    plt.close("all")


def spaced(frame):
    return frame.assign(prompt_id=frame["prompt_id"] + " ")
