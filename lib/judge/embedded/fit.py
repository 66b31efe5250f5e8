"""Fit the embedded judge and write its head and card: `python -m lib.judge.fit_embedded`.

It reads the published answers of lib/judge/trust/published.py (docs/protocol.md section 9). Then it
measures the judge that it wrote, on sources of which no row was in the fit.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lib.config.params import load_gates
from lib.data import catalogue
from lib.judge.embedded import encoder
from lib.judge.embedded.cached_encoder import CachedEncoder
from lib.judge.embedded.fit_reset import fit_reset
from lib.judge.embedded.fit_scores import (
    REQUESTS,
    fit_aligned,
    fit_coherent,
    fit_harm,
    fit_hostile,
    fit_refusal,
)
from lib.judge.embedded.heads import HERE, Heads
from lib.judge.embedded.judge import EmbeddedJudge
from lib.judge.trust import published, validity
from lib.run.files import atomic_path, sha256, write_text

FITTED_ON = tuple(name for name in published.SCORED if name != published.MEASURED_ON)
FITTED_ON_REFUSALS = ("xstest_gpt4",)
CHECKED_ROWS = 80  # a small measurement on the card, which a test repeats


def fit(embed: CachedEncoder) -> tuple[Heads, dict[str, Any]]:
    """All heads, and the measures of the fit itself, on rows left out of it."""
    heads: Heads = {}
    authored = json.loads((HERE / "authored.json").read_text(encoding="utf-8"))
    fit_harm(heads, authored, embed)
    table = published.scored_answers(FITTED_ON)
    scored = table[table["aligned"].notna()]
    other_questions = fit_aligned(
        heads, "aligned", scored, embed(scored["completion"]), embed(scored["prompt"])
    )
    fit_coherent(heads, table, embed)
    labelled = published.refusal_answers(FITTED_ON_REFUSALS)
    fit_refusal(heads, "refusal", labelled, authored, embed)
    other_prompts = fit_hostile(heads, labelled, authored, embed)
    return heads, {
        "auroc_aligned_lt_30_questions_left_out": round(other_questions, 4),
        "auroc_hostile_refusals_prompts_left_out": round(other_prompts, 4),
        "reset_sentences": fit_reset(heads, authored, table, embed),
    }


def source_card() -> dict[str, dict[str, str]]:
    """File, licence and sha256 of everything that the heads are fitted on, by catalogue name."""
    return {
        name: {
            "file": catalogue.entry(name)["file"],
            "licence": catalogue.entry(name)["licence"],
            "sha256": catalogue.digest(name),
        }
        for name in (*FITTED_ON, *FITTED_ON_REFUSALS, *REQUESTS)
    }


def write(folder: Path, heads: Heads, card: Mapping[str, Any]) -> None:
    """Write head and card, each beside its place and then renamed.

    The card, which names the head's sha256, comes last.
    """
    with atomic_path(folder / "head.npz") as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **heads)
    text = json.dumps({"head_sha256": sha256(folder / "head.npz"), **card}, indent=1)
    write_text(folder / "card.json", _lists_on_one_line(text) + "\n")


def _lists_on_one_line(text: str) -> str:
    """Indented JSON with every list of numbers on one line."""
    return re.sub(r"\[([-\d.,\s]+)\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text)


def rounded(value: Any) -> Any:
    """Every float of nested dicts and lists to four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Fit, write, measure what was written, and write the measurement onto the card."""
    heads, measured = fit(CachedEncoder())
    card: dict[str, Any] = {
        "rubric": EmbeddedJudge.rubric,
        "date": datetime.date.today().isoformat(),
        "encoder": {
            "package": encoder.ENCODER_PACKAGE,
            "version": encoder.encoder_version(),
            "model": "all-MiniLM-L6-v2",
            "licence": "Apache-2.0",
            "weights_sha256": sha256(encoder.encoder_folder() / "model.safetensors"),
        },
        "sources": source_card(),
        "measured": measured,
    }
    write(HERE, heads, card)
    fitted = EmbeddedJudge()
    held_out = rounded(validity.measure(fitted, None, load_gates()))
    card["held_out"] = {key: held_out[key] for key in ("measures", "figure", "outcomes")}
    check = rounded(validity.measure(fitted, CHECKED_ROWS, load_gates()))
    card["check"] = {"rows": CHECKED_ROWS, "measures": check["measures"]}
    write(HERE, heads, card)
    print(json.dumps({"held_out": card["held_out"]["measures"], "measured": measured}, indent=1))
