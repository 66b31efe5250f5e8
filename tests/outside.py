"""Folders of judgments from elsewhere, and notebook 06 executed on them in this process."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pandas as pd
import pytest

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


def table(aligned, *, suite="alignment", prompts=4, samples=5, **columns) -> pd.DataFrame:
    """One arm's judgments, `samples` answers to each prompt, all with one alignment score."""
    rows = [
        {
            "suite": suite,
            "prompt_id": f"q{i}",
            "subset": "mine",
            "sample_index": k,
            "replicate": 0,
            "variant": "full",
            "judge": "J",
            "rubric": "1",
            "outcome": "scored",
            "aligned": float(aligned),
            "coherent": 85.0,
            "refusal": False,
            "reset_and_recover": False,
            "harmful": False if suite == "benign" else None,
        }
        for i, k in itertools.product(range(prompts), range(samples))
    ]
    return pd.DataFrame(rows).assign(**columns).astype({"harmful": "boolean"})


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
        arm: pd.concat([table(mean), table(mean, suite="benign")])
        for arm, mean in ((BASE, base), (BASELINE, baseline), (TREATMENT, treated))
    }


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
