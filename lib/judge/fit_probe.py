"""Fit the probe judge to a base model: `python -m lib.judge.fit_probe [MODEL] [--rows PART]`.

Reads the design rows of lib/judge/probe/rows.py (published answers from SELFCORRECT_DATA_DIR, and
the project's own) with the model, fits the heads, and writes NAME.npz and its card NAME.json, by
default where the judge looks for them. What it has read is kept, so a killed fit continues. PART
(all, measuring, selecting) fits on some of the rows: two judges, one of which keeps the traces and
one of which measures, have to be fitted on different rows.

The held-out sources are read last, scored by the finished heads, and reported on the card.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config.params import load_gates
from lib.data import catalogue
from lib.data.text_files import DataError
from lib.judge.outcomes import JudgeError
from lib.judge.probe import base, bounds, build, fit, measure, resets, rows
from lib.judge.probe.features import ProbeError, Reader
from lib.judge.probe.fit import Projected
from lib.judge.probe.heads import Heads, card_name, fingerprint_texts, save
from lib.judge.trust import measures, published
from lib.judge.trust.agreement import auroc, estimate, spearman
from lib.run.files import atomic_path
from lib.setup.caches import cache_dir

PART = 512  # rows that are read, and kept, together


def read_kept(
    reader: Reader, table: pd.DataFrame, folder: Path, frame: str = "review"
) -> np.ndarray:
    """States of every row, (n, cells, width), float16; parts read before are taken from disk."""
    cells = reader.chat_cells if frame == "chat" else reader.cells
    parts = []
    for start in range(0, len(table), PART):
        part = table.iloc[start : start + PART]
        pairs = list(zip(part["prompt"], part["answer"], strict=True))
        key = hashlib.sha256(repr([cells, pairs]).encode("utf-8", "replace")).hexdigest()
        path = folder / f"{key[:24]}.npy"
        if not path.exists():
            states = reader.read(pairs, frame=frame).states.astype(np.float16)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as beside, beside.open("wb") as file:
                np.save(file, states)
        parts.append(np.load(path, allow_pickle=False))
        print(f"read {min(start + PART, len(table)):,} of {len(table):,} rows", flush=True)
    return np.concatenate(parts)


def sources() -> dict[str, str]:
    """sha256 of every published file that enters the fit, by catalogue name."""
    return {name: catalogue.digest(name) for name in rows.FITTED_ON}


def assemble(
    projected: Projected,
    chat: Projected,
    design: pd.DataFrame,
    fingerprints: np.ndarray,
    facts: Mapping,
) -> tuple[Heads, dict]:
    """Heads of full width, and what was measured on design rows.

    Args:
        projected: components of the design rows.
        chat: those in the chat frame, of the rows that are read twice.
        fingerprints: states of the fixed texts, (texts, cells, width).
        facts: base, architecture, tokenizer_sha256: what the heads are keyed by.
    """
    built = build.build(projected, chat, design)
    x, _ = projected.matrix()
    target = fit.aligned_target(design)
    measured = {
        "group_left_out": measure.left_out(x, design, target),
        "question_left_out": measure.crossed_measures(
            design, built.crossed, built.knots, built.thresholds, built.resets
        ),
        "source_told_apart": measure.source_told_apart(design, built.crossed["aligned"]),
        "injections": measure.injections(x, design, target, built.knots["aligned"]),
    }
    projections = {**projected.projections, **chat.projections}
    cells = tuple(projections)
    missed = bounds.missed(measured["question_left_out"], load_gates())
    card = {
        "rubric": "probe-1",
        "date": datetime.date.today().isoformat(),
        **facts,
        "fields_missed": missed,
        "sources": sources(),
        "rows": {name: int(count) for name, count in design["group"].value_counts().items()},
    }
    heads = Heads(
        cells=cells,
        mean=np.stack([projections[cell].mean for cell in cells]),
        sd=np.stack([projections[cell].sd for cell in cells]),
        weights=bounds.without(built.weights, missed),
        biases=bounds.without(built.biases, missed),
        knots=built.knots,
        thresholds=bounds.without(built.thresholds, missed),
        fingerprints=fingerprints,
        card=card,
    )
    return heads, measured


def held_out_measures(aligned: np.ndarray, table: pd.DataFrame) -> dict[str, dict]:
    """Agreement on each held-out source; `aligned`: points of every row of `table`."""
    measured = {}
    for name in ("apoorva_calib", "ascender_v2"):
        own = (table["source"] == name).to_numpy() & measure.sure(table)
        measured[name] = measure.agreement_of(table[own], aligned[own])
    measured["auroc_that_counts"] = min(measured[name]["auroc"] for name in measured)
    return measured


def validity_card(aligned: np.ndarray, table: pd.DataFrame, measured: Mapping) -> dict:
    """What lib/judge/validity.py says of a judge with a card, on rows outside the fit.

    The AUROC is that of the worse of the two held-out sources; refusal and coherence are of heads
    fitted without the row's question.
    """
    rated = table.assign(judged=aligned, badness=-aligned, bad=table["aligned"] < measure.BELOW)
    rated = rated[measure.sure(table)]
    worse = min(rows.HELD_OUT, key=lambda name: measured["held_out"][name]["auroc"])
    held = {name: rated[rated["source"] == name] for name in rows.HELD_OUT}
    calib = held["apoorva_calib"]
    crossed = measured["question_left_out"]
    figure = calib.rename(columns={"judged": "aligned", "aligned": "true_aligned"})
    return {
        "measures": {
            "auroc_aligned_lt_30": estimate(auroc, held[worse], ("bad", "badness"), "topic")
            | {"held_out": [worse], "n_below": int(held[worse]["bad"].sum())},
            "spearman_aligned": estimate(spearman, calib, ("judged", "aligned"), "topic")
            | {"held_out": ["apoorva_calib"]},
            "refusal_f1": _crossed(crossed["refusal"], "f1", "n", list(published.LABELLED)),
            "coherence_auroc": _crossed(
                crossed["coherent"], "auroc", "n_sound", [*rows.BETLEY, rows.RISKYFIN]
            ),
        },
        "figure": measures.figure_numbers(figure, measure.BELOW),
        "outcomes": {"alignment": {"scored": len(rated)}},
    }


def _crossed(found: Mapping, value: str, count: str, names: Sequence[str]) -> dict:
    """A cross-fitted measure in the form of the others; questions were left out, not sources."""
    return {
        "value": found[value],
        "ci95": None,
        "n": found[count],
        "n_clusters": 0,
        "held_out": [f"{name}, questions left out of the fit" for name in names],
    }


def fit_model(model: str, out: Path, part: str = "all") -> Path:
    """Read the rows, fit on a part of them, measure and write. Returns the card's path.

    Raises ProbeError.
    """
    if not published.available():
        raise ProbeError(
            f"{catalogue.DATA_DIR_VARIABLE} names no folder with judge/; set it to the "
            "folder of published data (docs/judges.md), and fit again"
        )
    reader = base.load_reader(model)
    texts = fingerprint_texts()
    facts = {
        "base": base.public_name(model),
        "architecture": reader.architecture,
        "tokenizer_sha256": reader.tokenizer_hash(texts),
        "fitted_rows": part,
    }
    fingerprints = reader.read_both(texts)
    folder = cache_dir("probe_features") / base.weights_digest(model)[:16]
    design, held_out = rows.design_rows(), rows.held_out_rows()
    states = read_kept(reader, design, folder)
    fitted = rows.in_part(design, part)
    design, states = design[fitted].reset_index(drop=True), states[fitted]
    plain = (design["group"] != "made").to_numpy()
    projected = fit.project(states, reader.cells, plain)
    twice = design[resets.read_twice(design)]
    chat_states = read_kept(reader, twice, folder, "chat")
    chat = fit.project(chat_states, reader.chat_cells, np.ones(len(twice), bool))
    heads, measured = assemble(projected, chat, design, fingerprints, facts)
    decision = heads.decisions(read_kept(reader, held_out, folder).astype(np.float32))
    aligned = heads.points("aligned", decision["aligned"])
    measured["held_out"] = held_out_measures(aligned, held_out)
    card = {
        **heads.card,
        "measured": measured,
        "held_out": validity_card(aligned, held_out, measured),
    }
    heads = Heads(**{**vars(heads), "card": card})
    return save(out, card_name(model), heads)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lib.judge.fit_probe", description=__doc__)
    parser.add_argument(
        "model", nargs="?", default=base.DEFAULT, help="hub id or folder of a chat model"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder of the heads")
    parser.add_argument("--rows", choices=rows.PARTS, default="all", help="fitted on these rows")
    asked = parser.parse_args(argv)
    try:
        card = fit_model(asked.model, asked.out or cache_dir("probe_heads"), asked.rows)
    except (JudgeError, DataError) as error:
        print(f"fit_probe: {error}", file=sys.stderr)
        return 1
    print(f"wrote {card} and {card.with_suffix('.npz').name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
