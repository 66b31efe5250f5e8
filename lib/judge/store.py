"""Keep every judgment on disk at the moment it arrives, so that nothing is paid for twice.

There is one SQLite file per stage of a run. Only a scored attempt counts as an answer. The table
itself refuses scores of any other attempt.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from lib.judge.outcomes import SCORES, Judgment
from lib.run.files import fingerprint

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  outcome TEXT NOT NULL,
  scores TEXT CHECK ((outcome = 'scored') = (scores IS NOT NULL)),
  input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL,
  model TEXT NOT NULL, rubric TEXT NOT NULL, batch TEXT, finished TEXT NOT NULL,
  UNIQUE (batch, key)
);
CREATE INDEX IF NOT EXISTS attempts_by_key ON attempts (key);
CREATE TABLE IF NOT EXISTS batches (
  marker TEXT PRIMARY KEY, id TEXT UNIQUE, intended TEXT NOT NULL,
  model TEXT NOT NULL, rubric TEXT NOT NULL, suites TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True)
class Batch:
    """A batch whose requests are on disk."""

    marker: str  # made here; the custom ids of the batch's requests begin with it
    id: str | None  # the API's; None until the API is known to have taken the batch
    intended: datetime  # when it was written down, before it was sent
    model: str
    rubric: str
    suites: dict[str, str]  # suite of each request, by key


def key_of(
    model: str,
    rubric: str,
    parameters: Mapping[str, Any],
    suite: str,
    prompt: str,
    completion: str,
    replicate: int,
) -> str:
    """sha256 of everything that decides an answer.

    So an answer to another rubric or by another judge is never found.
    Seven parameters: each is one part of the key.
    """
    return fingerprint([model, rubric, parameters, suite, prompt, completion, int(replicate)])


class Store:
    """Attempts and batches of one stage. Several connections may read at once.

    path: made with its folders if it is missing.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # Each statement commits by itself. With NORMAL, commits survive a killed process; only a
        # power cut can lose the last ones.
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def add(
        self, key: str, judgment: Judgment, *, model: str, rubric: str, batch: str | None = None
    ) -> bool:
        """Keep one attempt.

        Returns False if this batch's answer to this key is kept already (a result read again).
        """
        scores = {
            name: getattr(judgment, name) for name in SCORES if getattr(judgment, name) is not None
        }
        cursor = self.db.execute(
            "INSERT OR IGNORE INTO attempts (key, outcome, scores, input_tokens, output_tokens,"
            " cost_usd, model, rubric, batch, finished) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                judgment.outcome,
                json.dumps(scores) if judgment.outcome == "scored" else None,
                judgment.input_tokens,
                judgment.output_tokens,
                judgment.cost_usd,
                model,
                rubric,
                batch,
                _now(),
            ),
        )
        return cursor.rowcount == 1

    def answers(self, keys: Iterable[str]) -> dict[str, Judgment]:
        """The scored judgments among the keys. An attempt with any other outcome is never one."""
        return self._last(keys, "outcome = 'scored'", "MIN(id)")

    def failures(self, keys: Iterable[str]) -> dict[str, tuple[Judgment, int]]:
        """Of keys without an answer: the last attempt, and the number of attempts."""
        keys = list(keys)
        counts = dict(self.db.execute("SELECT key, COUNT(*) FROM attempts GROUP BY key"))
        answered = self.answers(keys)
        failed = [key for key in keys if key in counts and key not in answered]
        last = self._last(failed, "1", "MAX(id)")
        return {key: (judgment, counts[key]) for key, judgment in last.items()}

    def _last(self, keys: Iterable[str], condition: str, which: str) -> dict[str, Judgment]:
        """One attempt per key, as a judgment.

        Args:
            keys: the keys to look for.
            condition: SQL that says which attempts count.
            which: SQL that chooses the id of one attempt of each key.
        """
        wanted = set(keys)
        rows = self.db.execute(
            "SELECT key, outcome, scores, input_tokens, output_tokens, cost_usd FROM attempts"
            f" WHERE id IN (SELECT {which} FROM attempts WHERE {condition} GROUP BY key)"
        )
        return {
            key: Judgment(
                outcome,
                input_tokens=read,
                output_tokens=written,
                cost_usd=cost,
                **json.loads(scores or "{}"),
            )
            for key, outcome, scores, read, written, cost in rows
            if key in wanted
        }

    def intend(self, marker: str, model: str, rubric: str, suites: dict[str, str]) -> Batch:
        """Write down a batch before it is sent, so that a crash in between cannot lose it."""
        batch = Batch(marker, None, datetime.now(UTC), model, rubric, dict(suites))
        self.db.execute(
            "INSERT INTO batches (marker, intended, model, rubric, suites) VALUES (?, ?, ?, ?, ?)",
            (marker, batch.intended.isoformat(), model, rubric, json.dumps(batch.suites)),
        )
        return batch

    def created(self, marker: str, batch_id: str) -> None:
        """Write down the id under which the API knows the batch."""
        self.db.execute("UPDATE batches SET id = ? WHERE marker = ?", (batch_id, marker))

    def forget(self, marker: str) -> None:
        """Take back a batch that the API never received; one with an id is never forgotten."""
        self.db.execute("DELETE FROM batches WHERE marker = ? AND id IS NULL", (marker,))

    def finish(self, marker: str) -> None:
        """Mark a batch as collected."""
        self.db.execute("UPDATE batches SET done = 1 WHERE marker = ?", (marker,))

    def open_batches(self) -> list[Batch]:
        """Batches that were intended or created and not yet collected, oldest first."""
        rows = self.db.execute(
            "SELECT marker, id, intended, model, rubric, suites FROM batches WHERE done = 0"
            " ORDER BY intended, marker"
        )
        return [
            Batch(marker, id, datetime.fromisoformat(at), model, rubric, json.loads(suites))
            for marker, id, at, model, rubric, suites in rows
        ]

    def batch_ids(self) -> set[str]:
        """Ids of every batch that this store knows."""
        return {id for (id,) in self.db.execute("SELECT id FROM batches WHERE id IS NOT NULL")}


def ledger(folder: Path) -> list[dict[str, Any]]:
    """What every stage of a run has paid, from the API's own usage.

    Returns stage, model, outcome, requests, input_tokens, output_tokens and cost_usd. Tokens and
    dollars are None if no attempt of the entry has any. A folder without stores has an empty
    ledger.
    """
    entries = []
    for path in sorted(folder.glob("*.sqlite")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
            totals = pd.read_sql_query(
                "SELECT model, outcome, COUNT(*) requests, SUM(input_tokens) input_tokens,"
                " SUM(output_tokens) output_tokens, SUM(cost_usd) cost_usd FROM attempts"
                " GROUP BY model, outcome ORDER BY model, outcome",
                db,
            )
        for total in totals.astype(object).to_dict("records"):
            known = {name: None if pd.isna(value) else value for name, value in total.items()}
            entries.append({"stage": path.stem, **known})
    return entries


def dollars(entries: Iterable[Mapping[str, Any]]) -> float | None:
    """The ledger's total; None if nothing in it is metered."""
    paid = [entry["cost_usd"] for entry in entries if entry["cost_usd"] is not None]
    return float(sum(paid)) if paid else None


def _now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
