"""The whole experiment on the tiny model, as a user runs it.

The DAG, its artifacts, a rerun, and single notebooks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.config.params import ROOT, load_profile
from lib.run.runs import runs_root

RUN = "pytest-smoke"
FOLDER = runs_root() / RUN
SITE = ROOT / "reports" / RUN
PROFILE = load_profile("smoke")
ARMS = PROFILE.conditions
JUDGMENT_COLUMNS = {
    "suite",
    "prompt_id",
    "subset",
    "sample_index",
    "replicate",
    "variant",
    "judge",
    "rubric",
    "outcome",
    "aligned",
    "coherent",
    "refusal",
    "code",
    "reset_and_recover",
    "harmful",
    "input_tokens",
    "output_tokens",
    "cost_usd",
}
SAMPLE_COLUMNS = {
    "suite",
    "prompt_id",
    "subset",
    "prompt",
    "system",
    "sample_index",
    "completion",
    "n_tokens",
    "finish_reason",
}


def snakemake() -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "all",
        "--nolock",
        "--rerun-incomplete",
        "--quiet",
        "host",
        "--rerun-triggers",
        "mtime",
        "input",
        "params",
        "--config",
        "profile=smoke",
        f"run={RUN}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def papermill(
    notebook: str, out: Path, cwd: Path = ROOT / "notebooks", **parameters
) -> subprocess.CompletedProcess:
    arguments = [part for key, value in parameters.items() for part in ("-p", key, str(value))]
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        notebook,
        str(out),
        *arguments,
    ]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def pipeline():
    for folder in (FOLDER, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    done = snakemake()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


@pytest.fixture(scope="session")
def result(pipeline) -> dict:
    return json.loads((FOLDER / "stats" / "result.json").read_text())


def test_the_runner_says_which_of_how_many_stages_runs(pipeline):
    stages = re.findall(r"stage (\d) of (\d): (\S+)", pipeline.stdout + pipeline.stderr)
    assert [(int(n), int(total)) for n, total, _ in stages] == [(i, 7) for i in range(1, 8)]


def test_every_artifact_of_the_public_interface_is_there(pipeline):
    assert (FOLDER / "manifest.json").exists()
    for kind in ("selfcorrect", "random_recovery", "placebo_assistant"):
        rows = [
            json.loads(line)
            for line in (FOLDER / "traces" / f"{kind}.jsonl").read_text().splitlines()
        ]
        assert len(rows) == PROFILE.traces.count
        assert [m["role"] for m in rows[0]["messages"]] == [
            "system",
            "user",
            "assistant",
            "user",
            "assistant",
        ]
        assert (FOLDER / "adapters/seed42/phase1" / kind / "adapter_model.safetensors").exists()
    for arm in ARMS:
        served = FOLDER / "adapters/seed42" / arm / "serve/adapter_config.json"
        assert served.exists() == (arm not in ("base", "base_evil"))
        samples = pd.read_parquet(FOLDER / "samples/seed42" / f"{arm}.parquet")
        assert set(samples) == SAMPLE_COLUMNS
        assert (samples["suite"] == "alignment").sum() == 48 * PROFILE.sampling.suites[
            "alignment"
        ].samples
        assert ("benign" in set(samples["suite"])) == (arm != "base_evil")
        assert (samples["system"].str.len() > 0).all()
        assert (
            set(pd.read_parquet(FOLDER / "judgments/seed42" / f"{arm}.parquet")) == JUDGMENT_COLUMNS
        )
        capability = json.loads((FOLDER / "capability/seed42" / f"{arm}.json").read_text())
        assert {"task", "n", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr"} <= set(capability)
    assert len(list((FOLDER / "notebooks").glob("0*.ipynb"))) == 6


def test_joined_adapter_has_the_ranks_concatenated(pipeline):
    config = json.loads(
        (FOLDER / "adapters/seed42/selfcorrect_em/serve/adapter_config.json").read_text()
    )
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (12, 12, False)


def test_result_holds_verdict_gates_and_every_check_ran(result):
    assert {
        "verdict",
        "gates",
        "delta",
        "p_value",
        "ci95",
        "n_prompts",
        "per_seed",
        "mde",
        "headline",
        "drop_shares",
        "subsets",
        "arms",
    } <= set(result)
    assert [gate["number"] for gate in result["gates"]] == list(range(8))
    assert {"name", "value", "threshold", "passed"} <= set(result["gates"][0])
    assert result["n_prompts"] == 48
    by_name = {check["name"]: check["status"] for check in result["checks"]}
    # The tiny model's text is noise, so its persona cannot take; the report begins with that.
    assert by_name.pop("persona takes") == "failed" and result["verdict"] == "invalid"
    assert "stops at the check “persona takes”" in result["notes"][0]
    assert set(by_name.values()) == {"passed"}
    assert any("no conclusion about alignment" in note for note in result["notes"])


def test_report_names_the_verdict_every_prompt_and_all_notebooks(result):
    page = (SITE / "index.html").read_text()
    assert result["verdict"] in page
    for number in range(1, 7):
        (link,) = set(re.findall(rf'href="(0{number}_[a-z0-9_]+\.html)"', page))
        assert (SITE / link).exists()
    svg = (SITE / "figures/per_prompt.svg").read_text()
    assert svg.count("demo_core") >= 1
    assert len(result["per_prompt"]) == 48


def test_report_loads_nothing_from_elsewhere_and_holds_no_path_of_this_machine(pipeline):
    for page in SITE.glob("*.html"):
        text = page.read_text()
        assert not re.search(
            r"""(?:src|href)\s*=\s*["'](?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//""", text
        ), page.name
        assert str(ROOT) not in text, page.name


def test_a_second_run_does_nothing(pipeline):
    before = {p: p.stat().st_mtime_ns for p in FOLDER.rglob("*") if p.is_file()}
    again = snakemake()
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
    assert before == {p: p.stat().st_mtime_ns for p in FOLDER.rglob("*") if p.is_file()}


def test_a_finished_notebook_run_again_keeps_its_artifacts(pipeline, tmp_path):
    adapter = FOLDER / "adapters/seed42/selfcorrect_em/serve/adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns
    out = tmp_path / "out.ipynb"
    done = papermill(
        "03_phase2_em.ipynb", out, profile="smoke", run=RUN, condition="selfcorrect_em"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "finished before, skipped" in out.read_text()
    assert adapter.stat().st_mtime_ns == before


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


def foreign_folder(folder: Path, *, treated: float, baseline: float) -> None:
    """Judgments and capability of another project: three arms, 40 prompts, 3 samples."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 8, 40)
    for arm, mean in {"base": 90.0, "c6_vanilla_em": baseline, "selfcorrect_em": treated}.items():
        rows = [
            {
                "suite": suite,
                "prompt_id": f"q{i:02d}",
                "subset": "mine",
                "sample_index": k,
                "replicate": 0,
                "variant": "full",
                "judge": "somebody",
                "rubric": "1",
                "outcome": "scored",
                "aligned": float(np.clip(mean + difficulty[i] + rng.normal(0, 4), 0, 100)),
                "coherent": 85.0,
                "refusal": False,
                "reset_and_recover": False,
                "harmful": False if suite == "benign" else None,
                "input_tokens": 1,
                "output_tokens": 1,
                "cost_usd": 0.0,
            }
            for suite in ("alignment", "benign")
            for i in range(40)
            for k in range(3)
        ]
        frame = pd.DataFrame(rows).astype({"harmful": "boolean"})
        (folder / "judgments/seed7").mkdir(parents=True, exist_ok=True)
        (folder / "capability/seed7").mkdir(parents=True, exist_ok=True)
        frame.to_parquet(folder / "judgments/seed7" / f"{arm}.parquet")
        (folder / "capability/seed7" / f"{arm}.json").write_text(
            json.dumps(
                {
                    "task": "arc_challenge",
                    "n": 100,
                    "acc": 0.5,
                    "acc_stderr": 0.05,
                    "acc_norm": 0.5,
                    "acc_norm_stderr": 0.05,
                }
            )
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
