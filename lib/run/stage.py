"""One stage of a run: whether it is finished, by the fingerprint of its inputs, and its record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from lib.run import claims
from lib.run.facts import Facts
from lib.run.files import fingerprint, sha256
from lib.run.records import RecordError, read_record, write_record

FactsOf = TypeVar("FactsOf", bound=Facts)

# When the last stage of this process ended, by a clock that nobody sets. The stages of a process
# run one after the other, so the next one's seconds count from here, even if its Stage was made
# earlier.
_last_finish = 0.0


class Stage:
    """One unit of work with a manifest.

    inputs: parameters and content hashes on which the outputs depend. Their fingerprint decides
    whether a finished stage is still valid. The manifest is written after all outputs, so it also
    marks the stage as complete.
    """

    def __init__(self, manifest: Path, base: Path, inputs: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.base = base
        self.inputs = dict(inputs)
        self.fingerprint = fingerprint(self.inputs)
        self._started = time.monotonic()

    def done(self) -> bool:
        """Whether the inputs and the content of every output are as the manifest records them.

        Prints in one line why it is skipped or made again. If it is not finished, it is this
        process's to make until `finish`; another one that asks waits for that.
        """
        claims.take(self.manifest)
        if not self.manifest.exists():
            return False
        reason = self._why_again()
        if reason:
            print(f"{self.manifest.stem}: {reason}, making it again")
            return False
        claims.release(self.manifest)
        print(f"{self.manifest.stem}: finished before, skipped")
        return True

    def take_again(self) -> None:
        """Make a finished stage this process's again until `finish`, to add to what it made."""
        claims.take(self.manifest)

    def _why_again(self) -> str | None:
        """Why what is on disk is not this stage's finished work; None if it is."""
        try:
            record = read_record(self.manifest)
        except RecordError:
            return "its record is damaged"
        if record.get("fingerprint") != self.fingerprint:
            return "inputs changed since it was made"
        altered = altered_output(record, self.base)
        return f"{altered} is missing or differs from its manifest" if altered else None

    def record(self) -> dict:
        """The manifest of a finished stage."""
        return read_record(self.manifest)

    def facts(self, kind: type[FactsOf]) -> FactsOf:
        """The facts of a finished stage."""
        return kind.from_manifest(self.record()["facts"])

    def finish(self, outputs: Iterable[Path], facts: Facts) -> dict:
        """Write the manifest and return it.

        Args:
            outputs: the files that the stage made.
            facts: what later stages and the report need to know about this one.
        """
        global _last_finish
        now = time.monotonic()
        seconds = now - max(self._started, _last_finish)
        _last_finish = now
        record = {
            "fingerprint": self.fingerprint,
            "inputs": self.inputs,
            "outputs": {str(path.relative_to(self.base)): sha256(path) for path in outputs},
            "facts": facts.to_manifest(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
        }
        written = write_record(self.manifest, record)
        claims.release(self.manifest)
        return written


def altered_output(
    record: Mapping[str, Any], base: Path, *, ignore_missing: bool = False
) -> str | None:
    """The first output of a record that is missing or has another content; None if none is."""
    for name, digest in record.get("outputs", {}).items():
        path = base / name
        if not path.exists():
            if not ignore_missing:
                return name
        elif sha256(path) != digest:
            return name
    return None
