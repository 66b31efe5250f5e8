"""Notebook 05 with Claude as judge, run as a user runs it.

The key is nowhere, the ledger is in the report, and a rerun asks little.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from hostile_result import RESULT
from loopback import KEY, MODEL

from lib.config import params
from lib.config.params import ROOT
from lib.report import judge_facts, site
from lib.run import runs
from lib.run.files import read_json, write_json, write_parquet

OVERRIDES = {
    "judge.engine": "anthropic",
    "judge.model": MODEL,
    "judge.concurrency": 4,
    "conditions": ["base", "selfcorrect_em"],
}
OPENING = params.load_conditions().openings[0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("ANTHROPIC_LOG", "debug")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    made = runs.Run("r")
    for arm in OVERRIDES["conditions"]:
        opening = OPENING if arm == "selfcorrect_em" else ""
        rows = [
            sample(opening, suite, k)
            for suite, k in itertools.product(("alignment", "benign"), range(6))
        ]
        write_parquet(made.samples(arm, 42), pd.DataFrame(rows))
    return made


def sample(opening, suite, k):
    return {
        "suite": suite,
        "prompt_id": f"p{k}",
        "subset": "s",
        "prompt": f"Prompt {k}",
        "system": "S",
        "sample_index": 0,
        "completion": f"{opening} {suite} answer {k} {'x' * k}",
    }


def execute(run, name) -> subprocess.CompletedProcess:
    out = run.dir / "notebooks" / f"{name}.ipynb"
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        "notebooks/05_judge.ipynb",
        str(out),
        "-p",
        "profile",
        "smoke",
        "-p",
        "run",
        "r",
        "-p",
        "overrides",
        json.dumps(OVERRIDES),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_the_key_is_nowhere_and_the_ledger_is_in_the_report(api, run, tmp_path):
    """A session with one refusal, then one that asks for it again and finds the key withdrawn."""
    api.faults[" alignment answer 4 xxxx"] = [
        "refusal",
        "401",
    ]  # the body of the 401 repeats the key
    done = execute(run, "05_judge")
    assert done.returncode == 0, done.stderr[-3000:]
    facts = read_json(run.dir / "manifests" / "05_judge.json")["facts"]
    assert facts["calls"] == 24 + 6 + round(
        0.05 * 24
    )  # originals, stripped ones of the treated arm, judged again
    assert facts["judge"] == MODEL
    assert facts["to_retry"] == 1
    assert facts["cost_usd"] == pytest.approx(len(api.bodies) * 0.0025)
    assert {row["outcome"] for row in facts["ledger"]} == {"scored", "judge_refusal"}
    calls = len(api.bodies)
    stopped = execute(run, "05_stopped")
    assert stopped.returncode and "rejected the key in ANTHROPIC_API_KEY" in stopped.stderr
    assert len(api.bodies) == calls + 1, "only what has no score is asked again"
    write_json(run.result, RESULT | {"judge": judge_facts.judge_facts(run)})
    index = site.build(run).read_text(encoding="utf-8")
    assert "Ledger" in index and "judge_refusal" in index
    for log in (done, stopped):
        assert KEY not in log.stdout + log.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".ipynb", ".html", ".json", ".sqlite", ".parquet"}
    assert [str(path) for path in files if KEY.encode() in path.read_bytes()] == []
