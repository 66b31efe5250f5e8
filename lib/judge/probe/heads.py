"""Fitted heads of the probe: linear functions of standardised hidden states.

A set of heads belongs to one architecture, one tokenizer and one set of layers. The model's states
on 32 fixed texts (fingerprints) are stored with it, so that other weights under the same name are
refused. Files: NAME.npz (no pickle), and NAME.json, the card, which has the sha256 of the first.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.judge.probe.features import ProbeError
from lib.run.files import atomic_path, sha256, write_text
from lib.setup.caches import cache_dir

HERE = Path(__file__).parent
SHIPPED = HERE / "heads"
FINGERPRINTS_FILE = HERE / "fingerprints.json"
CLIP = 8.0  # standard deviations, because a few dimensions of a decoder are very large
MIN_COSINE = 0.98  # below, a model is not the one that the heads were fitted on
REFIT = "refit with: python -m lib.judge.fit_probe MODEL"


def fingerprint_texts() -> list[tuple[str, str]]:
    """The fixed (prompt, answer) pairs."""
    pairs = json.loads(FINGERPRINTS_FILE.read_text(encoding="utf-8"))
    return [(prompt, answer) for prompt, answer in pairs]


@dataclass(frozen=True)
class Heads:
    """Heads of one base model."""

    cells: tuple[str, ...]  # vectors that the heads read, in order; those of the chat frame last
    mean: np.ndarray  # (cells, width), of design rows
    sd: np.ndarray  # (cells, width)
    weights: Mapping[str, np.ndarray]  # head -> (its cells, width): the first ones, or all
    biases: Mapping[str, float]
    knots: Mapping[str, np.ndarray]  # head -> (2, knots): decision values and points on 0-100
    thresholds: Mapping[str, float]  # head -> decision value from which a flag is true
    fingerprints: np.ndarray  # (texts, cells, width), of `fingerprint_texts`
    card: Mapping

    def standardise(self, states: np.ndarray) -> np.ndarray:
        """States (n, cells, width) in standard deviations; the last cells may be missing."""
        known = states.shape[1]
        return ((states - self.mean[:known]) / self.sd[:known]).clip(-CLIP, CLIP)

    def decisions(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """Decision values, (n,) each, of every head whose vectors are all among the states."""
        z = self.standardise(states)
        decisions = {}
        for name, weight in self.weights.items():
            if len(weight) <= z.shape[1]:
                flat = z[:, : len(weight)].reshape(len(z), -1)
                decisions[name] = flat @ weight.ravel() + self.biases[name]
        return decisions

    def points(self, name: str, decision: np.ndarray) -> np.ndarray:
        """Decision values on the scale from 0 to 100, by the head's piecewise-linear map."""
        return np.interp(decision, *self.knots[name])

    def flag(self, name: str, decision: np.ndarray) -> np.ndarray:
        """Whether decision values reach the head's threshold."""
        return decision >= self.thresholds[name]

    def cosines(self, states: np.ndarray) -> dict[str, float]:
        """Mean cosine of fingerprint states to the stored ones, by cell, after standardising."""
        mine = self.standardise(states)
        stored = self.standardise(self.fingerprints.astype(np.float32))
        norms = np.linalg.norm(mine, axis=-1) * np.linalg.norm(stored, axis=-1)
        cosines = (mine * stored).sum(-1) / norms.clip(1e-9)
        return dict(zip(self.cells, cosines.mean(0).round(5).tolist(), strict=True))


def check_key(heads: Heads, architecture: Mapping, cells: Sequence[str], tokenizer: str) -> None:
    """Raises ProbeError unless heads belong to this architecture, tokenizer and set of layers.

    cells: every vector that the reader can give. Heads may read the first ones alone.
    """
    cells = cells[: len(heads.cells)]
    for what, mine, theirs in (
        ("architecture", dict(architecture), dict(heads.card["architecture"])),
        ("layers", list(cells), list(heads.cells)),
        ("tokenizer", tokenizer[:12], heads.card["tokenizer_sha256"][:12]),
    ):
        if mine != theirs:
            raise ProbeError(
                f"the model's {what} is {mine}, the heads {heads.card['base']!r} "
                f"belong to {theirs}; {REFIT}"
            )


def check_fingerprints(heads: Heads, states: np.ndarray) -> dict[str, float]:
    """Cosines of the fixed texts' states, by cell. Raises ProbeError where one is below 0.98."""
    cosines = heads.cosines(states)
    worst = min(cosines, key=cosines.__getitem__)
    if not cosines[worst] >= MIN_COSINE:
        raise ProbeError(
            f"hidden states of 32 fixed texts have cosine {cosines[worst]:.3f} to those "
            f"that the heads {heads.card['base']!r} were fitted on ({worst}), less "
            f"than {MIN_COSINE}: these are other weights; {REFIT}"
        )
    return cosines


def save(folder: Path, name: str, heads: Heads) -> Path:
    """Write NAME.npz, then NAME.json with its sha256. Returns the card's path."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "mean": heads.mean.astype(np.float32),
        "sd": heads.sd.astype(np.float32),
        "fingerprints": heads.fingerprints.astype(np.float16),
    }
    for head, weight in heads.weights.items():
        size = float(np.abs(weight).max()) or 1.0  # so that float16 keeps small weights
        arrays[f"weight.{head}"] = (weight / size).astype(np.float16)
        arrays[f"affine.{head}"] = np.array([size, heads.biases[head]])
    arrays |= {f"knots.{head}": np.asarray(knots) for head, knots in heads.knots.items()}
    arrays |= {f"threshold.{head}": np.array(value) for head, value in heads.thresholds.items()}
    with atomic_path(folder / f"{name}.npz") as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    card = {
        **heads.card,
        "cells": list(heads.cells),
        "heads_sha256": sha256(folder / f"{name}.npz"),
    }
    write_text(folder / f"{name}.json", json.dumps(card, indent=1) + "\n")
    return folder / f"{name}.json"


def load(card_path: Path) -> Heads:
    """The heads that a card describes. Raises ProbeError if the arrays are others."""
    card = json.loads(card_path.read_text(encoding="utf-8"))
    data_path = card_path.with_suffix(".npz")
    content = data_path.read_bytes() if data_path.exists() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["heads_sha256"]:
        raise ProbeError(
            f"{data_path.name} has sha256 {digest[:12]}, its card says "
            f"{card['heads_sha256'][:12]}; restore both files, or {REFIT}"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = dict(stored)
    names = [key.removeprefix("weight.") for key in arrays if key.startswith("weight.")]
    affine = {name: arrays[f"affine.{name}"] for name in names}
    return Heads(
        cells=tuple(card["cells"]),
        mean=arrays["mean"],
        sd=arrays["sd"],
        weights={
            name: arrays[f"weight.{name}"].astype(np.float32) * np.float32(affine[name][0])
            for name in names
        },
        biases={name: float(affine[name][1]) for name in names},
        knots=_starting(arrays, "knots."),
        thresholds={name: float(value) for name, value in _starting(arrays, "threshold.").items()},
        fingerprints=arrays["fingerprints"],
        card=card,
    )


def _starting(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose name has a prefix, by their name without it."""
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }


def folders() -> Iterator[Path]:
    """Where heads are looked for: SELFCORRECT_HEADS_DIR, refitted ones, those of the project."""
    if named := os.environ.get("SELFCORRECT_HEADS_DIR"):
        yield Path(named)
    yield cache_dir("probe_heads")
    yield SHIPPED


def card_name(model: str) -> str:
    """File name of a model's heads: the last part of its id or folder, in lower case."""
    return Path(model).name.lower()


def find(model: str, architecture: Mapping) -> Heads:
    """Heads by the model's name, or else by its architecture. Raises ProbeError."""
    cards = [path for folder in folders() for path in sorted(folder.glob("*.json"))]
    named = [path for path in cards if path.stem == card_name(model)]
    fitting = [
        path
        for path in cards
        if json.loads(path.read_text(encoding="utf-8"))["architecture"] == dict(architecture)
    ]
    if not named and not fitting:
        known = ", ".join(sorted({path.stem for path in cards})) or "none"
        raise ProbeError(
            f"no heads for {model!r} ({architecture['model_type']}, "
            f"{architecture['layers']} layers, width {architecture['width']}); heads "
            f"are there for: {known}; {REFIT}"
        )
    return load((named or fitting)[0])
