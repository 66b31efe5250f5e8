"""The encoder with a cache on disk, so that a fit does not read the published texts again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lib.judge.embedded import encoder
from lib.run.files import atomic_path
from lib.setup.caches import cache_dir

CACHE = cache_dir("embedded_judge")


class CachedEncoder:
    """Reads each text once per machine; the cache is keyed by the text's hash and the windowing."""

    def __init__(self, folder: Path = CACHE) -> None:
        self.path = folder / f"minilm-read-{encoder.WINDOW_WORDS}-{encoder.MAX_WINDOWS}.npz"
        # (1 + OPENINGS, 384) per text: the whole text, then its openings.
        self.known: dict[str, np.ndarray] = {}
        if self.path.exists():
            with np.load(self.path, allow_pickle=False) as stored:
                self.known = dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))

    def read(self, texts: Iterable[str]) -> np.ndarray:
        """The whole of each text and its openings, (n, 1 + OPENINGS, 384)."""
        texts = list(texts)
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.known}
        if new:
            reading = encoder.read(encoder.load_encoder(), list(new.values()))
            stacked = np.concatenate([reading.vectors[:, None], reading.openings], axis=1)
            self.known |= dict(zip(new, stacked, strict=True))
            self._save()
        return np.array([self.known[key] for key in keys])

    def _save(self) -> None:
        """Write the cache beside its place, then rename it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        keys = np.array(list(self.known))
        vectors = np.array(list(self.known.values()))
        with atomic_path(self.path) as beside, beside.open("wb") as file:
            np.savez(file, keys=keys, vectors=vectors)

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """Embeddings of whole texts, (n, 384)."""
        return self.read(texts)[:, 0]

    def opening(self, texts: Iterable[str]) -> np.ndarray:
        """Embeddings of the first two sentences in context, (n, 384)."""
        return self.read(texts)[:, -1]
