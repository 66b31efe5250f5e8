"""Parts of a result.json from disk as the types that made them; what an old file misses is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lib.analysis.decision import GateRow
from lib.analysis.effects import Rate, ReflexRates
from lib.analysis.findings import ArmSummary
from lib.checks.check import FAILED
from lib.run.files import read_json
from lib.run.paths import shown
from lib.run.records import RecordError, intact


def load(path: Path) -> dict[str, Any]:
    """A result.json. Raises RecordError if it is not what notebook 06 or the pilot wrote."""
    if not intact(path):
        raise RecordError(
            f"{shown(path)} was changed after it was written; delete it and run make report again, "
            "or notebook 06, which makes it from the judgments"
        )
    return read_json(path)


def failed_checks(result: Mapping[str, Any]) -> list[str]:
    """The names of the validity checks that failed, in their order."""
    return [check["name"] for check in result["checks"] if check["status"] == FAILED]


def read_gates(rows: Sequence[Mapping[str, Any]]) -> list[GateRow]:
    """The decision table, without the parts of a gate that has several."""
    return [replace(GateRow(**_fields(GateRow, row)), parts=None) for row in rows]


def read_arms(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, ArmSummary]:
    """Every arm by name."""
    return {name: _arm(arm) for name, arm in arms.items()}


def _arm(arm: Mapping[str, Any]) -> ArmSummary:
    known: dict[str, Any] = {**_fields(ArmSummary, arm), **_rates(arm)}
    known["followup"] = ReflexRates(**_rates(arm.get("followup") or {}))
    return ArmSummary(**known)


def _rates(entry: Mapping[str, Any]) -> dict[str, Rate | None]:
    """The reflex rates of an arm, or of its follow-up turn."""
    rates = {field.name: entry.get(field.name) for field in fields(ReflexRates)}
    return {name: Rate(**_fields(Rate, rate)) if rate else None for name, rate in rates.items()}


def _fields(kind: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a type by name, as an entry has them."""
    return {field.name: entry.get(field.name) for field in fields(kind)}
