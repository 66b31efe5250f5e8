"""The ladder's table in few columns, as pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.display import show


def ladder_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """One row per rung: its dose, what it did to the baseline, and why it does not hold.

    record: what the ladder wrote (chosen.json).
    """
    return pd.DataFrame([_row(rung, record["chosen"]) for rung in record["rungs"]])


def _row(rung: Mapping[str, Any], chosen: str | None) -> dict[str, str]:
    return {
        "rung": f"{rung['name']} (chosen)" if rung["name"] == chosen else rung["name"],
        "EM set": rung["em"],
        "learning rate": f"{rung['learning_rate']:g}",
        "optimizer steps": str(rung["optimizer_steps"]),
        "damage": show.points(rung["damage"]),
        "damage, filtered": show.points(rung["damage_filtered"]),
        "coherence drop": show.points(rung["coherence_drop"]),
        "code": show.percent(rung["code"]),
        "does not hold": "; ".join(rung["does_not_hold"]) or "–",
    }


def ladder_sentence(record: Mapping[str, Any]) -> str:
    """What was chosen and why, and who judged it."""
    return (
        f"Chosen: {record['chosen'] or 'no rung'} ({record['reason']}). Judged by "
        f"{record['judge']} on {record['samples']} answers per prompt, seed {record['seed']}. "
        "The defended model's result had no part in it."
    )
