"""Six completions to judge, and what came back in a form that tests compare."""

from __future__ import annotations

from lib.judge.store import ledger

TEXTS = [f"text {k}" + "x" * k for k in range(6)]  # of different lengths, so of different grades


def outcomes(table) -> list[str]:
    return list(table["outcome"])


def ledger_of(claude) -> dict[str, int]:
    """Attempts by outcome in this test's store."""
    return {row["outcome"]: row["requests"] for row in ledger(claude().stage.parent)}
