"""The result of a validity check (docs/protocol.md section 8)."""

from __future__ import annotations

from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
NOT_RUN = "not run"
ON_TRACES = "on trace prompts"  # begins the detail of a check that was asked before training


@dataclass(frozen=True)
class Check:
    """The result of one validity check."""

    name: str  # what is checked
    status: str  # "passed", "failed" or "not run"
    detail: str  # the numbers, or the reason
