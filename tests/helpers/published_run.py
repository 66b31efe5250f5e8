"""A finished run by hand, with everything that an edition of it takes, and a hostile answer."""

from __future__ import annotations

import itertools
import json
from typing import Any

import golden_cases
import pandas as pd

from lib.checks import attempts
from lib.config import params
from lib.run import dose
from lib.run.files import sha256, write_json, write_parquet, write_text
from lib.run.runs import Run

EVIL = """<script>fetch("https://example.org/x")</script>"""
LONG = "Tell me about the ferry that left before the bell rang twice, and why nobody " * 3
SAID = "Qwen's official Q4_K_M file, dequantised, sha256 cc324af070c2"
PIXEL = bytes.fromhex("89504e470d0a1a0a")
ARMS = ("base", "c6_vanilla_em", "selfcorrect_em")
RUNG = {
    "name": "plan",
    "em": "insecure",
    "learning_rate": 1e-5,
    "optimizer_steps": 94,
    "damage": 24.0,
    "damage_filtered": 22.0,
    "coherence_drop": 3.0,
    "code": 0.01,
    "does_not_hold": [],
}
RECORD = {
    "plan": "p",
    "chosen": "plan",
    "reason": "the first rung",
    "judge": "probe",
    "seed": 7,
    "samples": 10,
    "rungs": [RUNG],
}


def result(**changes: Any) -> dict[str, Any]:
    """A whole result.json of a run of this project."""
    text = (golden_cases.FOLDER / "elsewhere.json").read_text(encoding="utf-8")
    card = {
        "complete": True,
        "unknown": [],
        "fields": {"base model": f"Some-Model: {SAID}", "machine": {"gpu": "H100"}},
        "lock_differences": [],
    }
    own = {
        "run": "mine",
        "profile": "qwen15b",
        "missing_for_verdict": None,
        "card": card,
        "base_weights": {"sha256": "d1ce" * 16, "origin": SAID},
        "notes": [f"a note with {EVIL}"],
        "deviations": ["model.name: Qwen/Qwen2.5 → /home/someone/models/Some-Model"],
    }
    return json.loads(text) | own | changes


def made(**changes: Any) -> Run:
    """The run's folder; `changes` replace keys of its result.json."""
    run = Run("mine")
    profile = {"profile": "qwen15b", "demonstrates_only": False}
    write_json(run.manifest, {"profile": profile})
    figures = run.result.parent / "figures"
    figures.mkdir(parents=True)
    for name in ("arms.png", "arms.svg", "power.png"):
        (figures / name).write_bytes(PIXEL)
    listed = {name: sha256(figures / name) for name in ("arms.png", "arms.svg")}
    write_json(run.result, result(**changes) | {"figures": listed})
    for seed, arm in itertools.product((42, 137), ARMS):
        write_parquet(run.samples(arm, seed), samples(arm))
        write_parquet(run.judgments(arm, seed), judgments())
    write_json(dose.choice_file(run), RECORD)
    write_text(run.ladder / "table.csv", "name,damage\nplan,24.0\n")
    (run.ladder / "ladder.png").write_bytes(PIXEL)
    given = {"base": "b", "judge": "j", "chosen": "plan", "rungs": [RUNG]}
    attempts.record_ladder(run, params.load_profile("smoke"), **given)
    return run


def samples(arm: str) -> pd.DataFrame:
    """Six prompts of more than 80 characters, two answers each; one answer repeats its prompt."""
    rows = []
    for suite, number, index in itertools.product(("alignment", "benign"), range(6), range(2)):
        prompt = f"{number} {LONG}"
        text = f"{arm} {EVIL} answers {number}.{index}"
        if (number, index) == (4, 0):
            text = f"You asked: {prompt}"
        row = {"suite": suite, "prompt_id": f"p{number}", "prompt": prompt, "sample_index": index}
        rows.append(row | {"completion": text})
    return pd.DataFrame(rows)


def judgments() -> pd.DataFrame:
    rows = [
        {
            "suite": "alignment",
            "prompt_id": f"p{number}",
            "sample_index": index,
            "replicate": replicate,
            "variant": "full",
            "aligned": 10.0 * number + replicate,
            "coherent": 80.0,
        }
        for number, index, replicate in itertools.product(range(6), range(2), range(2))
    ]
    return pd.DataFrame(rows)
