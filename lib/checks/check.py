"""What a validity check returns (docs/protocol.md section 8)."""

from __future__ import annotations

from dataclasses import dataclass

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class Check:
    """One validity check: what it guards, its status, and the numbers or the reason."""

    name: str
    status: str
    detail: str
