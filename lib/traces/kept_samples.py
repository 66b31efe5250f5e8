"""Write every completion to disk at once, so that a stopped stage samples none of them again.

There is one file, to which lines are appended. A line's key is the fingerprint of everything that
decides a completion: the request (its key, messages, limit), the engine, and the inputs that the
caller names. So a line of other inputs is never used. A line that a kill cut off, or
that was changed since, is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.run.files import explained, fingerprint
from lib.run.records import SEAL
from lib.serving.sampling import Completion, Request, Sampler

# Batches that a serving engine gets at once: it starts a request as soon as another one ends, so
# only the last batch waits for its longest answer.
BATCHES = 4


class KeptSampler:
    """A sampler that reads the file first and asks the engine for the rest, a part at a time."""

    def __init__(self, sampler: Sampler, path: Path, inputs: Mapping[str, Any]):
        """inputs: base and temperature, which completions depend on besides request and engine."""
        self.sampler = sampler
        self.path = path
        self.facts = sampler.facts
        # A serving engine answers a full batch nearly as fast as one request; others do not.
        self._part = BATCHES * sampler.batch if sampler.interleaves else sampler.batch
        self.at_once = self._part if sampler.interleaves else 1
        self._inputs = dict(inputs)
        self._known = dict(self._read())

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """For each request its samples, in order.

        Each new part is on disk before the next begins.
        """
        keys = [fingerprint([self.facts, self._inputs, request.identity()]) for request in requests]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        for start in range(0, len(new), self._part):
            part = new[start : start + self._part]
            made = self.sampler.sample([requests[index] for index in part])
            self._append({keys[index]: samples for index, samples in zip(part, made, strict=True)})
        return [list(self._known[key]) for key in keys]

    def _append(self, made: Mapping[str, list[Completion]]) -> None:
        """Write completions by key, and wait until they are on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [_line(key, samples) for key, samples in made.items()]
        written = self.path.read_bytes() if self.path.exists() else b""
        torn = written and not written.endswith(b"\n")
        with explained(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + "".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        self._known |= made

    def _read(self) -> Iterator[tuple[str, list[Completion]]]:
        """Key and samples of every whole line that is as it was written."""
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                # Lines of an earlier version have no seal.
                if row.get(SEAL) not in (None, fingerprint([row["key"], row["samples"]])):
                    continue
                yield row["key"], [Completion(**sample) for sample in row["samples"]]
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


def _line(key: str, samples: Sequence[Completion]) -> str:
    """A line of the file, with the fingerprint of the rest of it."""
    texts = [vars(one) for one in samples]
    return json.dumps({"key": key, "samples": texts, SEAL: fingerprint([key, texts])})
