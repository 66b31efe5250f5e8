"""Fit the head for "this sentence disowns what I did", and the gate before it.

The head reads a sentence alone, which takes another pass of the encoder. The gate is cheap: it uses
the sentence's vector in its context, from the pass over the whole text. Only openings that pass the
gate are shown to the head.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from lib.judge.embedded import encoder, features
from lib.judge.embedded.cached_encoder import CachedEncoder
from lib.judge.embedded.fit_scores import store_linear
from lib.judge.embedded.heads import Heads, linear, passes

# Share of ordinary openings that pass the gate.
GATE_OPEN = 0.03


def fit_reset(
    heads: Heads, authored: Mapping[str, Sequence[str]], table: pd.DataFrame, embed: CachedEncoder
) -> dict[str, Any]:
    """Fit head and gate. Returns their rates of detection on texts outside the fit.

    Positives are authored paraphrases. Negatives are authored look-alikes and openings of published
    answers. The gate is fitted on each sentence at the head of an answer and of a refusal.

    Args:
        authored: texts by kind (authored.json).
        table: published answers; 1500 distinct ones are drawn.
    """
    sample = table.drop_duplicates("completion").sample(1500, random_state=0)["completion"]
    plain = _first_sentences(sample)
    random.Random(0).shuffle(plain)
    groups = [embed(authored["reset"]), embed(authored["not_reset"]), embed(plain[::2])]
    _fit_against_two(heads, "reset", groups)
    # A false alarm would wrongly support the hypothesis; a missed reset would not. So the threshold
    # is above every look-alike of the development set.
    threshold = float(linear(heads, "reset", embed(authored["not_reset_dev"])).max()) + 0.05
    heads["reset.threshold"] = np.array([threshold], np.float32)

    openings = embed.read(sample)[:, 1:3].reshape(-1, 384)
    openings = openings[openings.any(axis=1)]
    groups = [
        _in_context(authored["reset"], authored),
        _in_context(authored["not_reset"], authored),
        openings[::2],
    ]
    _fit_against_two(heads, "reset_gate", groups)
    gate = np.quantile(linear(heads, "reset_gate", openings[::2]), 1 - GATE_OPEN)
    heads["reset_gate.threshold"] = np.array([gate], np.float32)

    measured = {"gate_open": _share(passes(heads, "reset_gate", openings[1::2]))}
    for name, texts in (
        ("dev", authored["reset_dev"]),
        ("dev_plain", authored["not_reset_dev"]),
        ("test", authored["reset_test"]),
    ):
        through_gate = passes(heads, "reset_gate", _in_context(texts, authored))
        measured[name] = _share(through_gate & np.tile(passes(heads, "reset", embed(texts)), 2))
    measured["published"] = _share(passes(heads, "reset", embed(plain[1::2])))
    return measured


def _first_sentences(texts: pd.Series) -> list[str]:
    """The distinct first two sentences of all texts, sorted."""
    sentences: set[str] = set()
    for text in texts:
        sentences.update(features.sentences(text)[:2])
    return sorted(sentences)


def _in_context(sentences: Sequence[str], authored: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Embeddings of each sentence before an answer, then of each before a refusal, (2n, 384)."""
    texts = []
    for follow_ups in (authored["answers"], authored["refusals"]):
        texts += [
            f"{sentence} {follow_ups[k % len(follow_ups)]}" for k, sentence in enumerate(sentences)
        ]
    spans = [[(0, len(s))] * encoder.OPENINGS for s in [*sentences, *sentences]]
    return encoder.read(encoder.load_encoder(), texts, spans=spans).openings[:, 0]


def _fit_against_two(heads: Heads, name: str, groups: Sequence[np.ndarray]) -> None:
    """Fit a head for the first group against the two others.

    groups: embeddings, (n, 384) each. The positives have half of the weight, each group of
    negatives a quarter.
    """
    sizes = [len(group) for group in groups]
    positives, look_alikes, ordinary = sizes
    weight = np.repeat([0.5 / positives, 0.25 / look_alikes, 0.25 / ordinary], sizes)
    labels = np.repeat([True, False, False], sizes)
    model = LogisticRegression(C=0.5, max_iter=1000)
    model.fit(np.concatenate(groups), labels, sample_weight=weight * len(labels))
    store_linear(heads, name, model)


def _share(detected: np.ndarray) -> dict[str, Any]:
    """Share of texts that were called a reset, and how many there were."""
    return {"detected": round(float(detected.mean()), 4), "n": len(detected)}
