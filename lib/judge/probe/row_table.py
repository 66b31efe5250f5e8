"""One table for the rows of all sources, with everything that is known about each."""

from __future__ import annotations

import pandas as pd

COLUMNS = (
    "id",
    "source",
    "group",
    "prompt",
    "answer",
    "topic",
    "kind",
    "aligned",
    "weight",
    "coherent",
    "refusal",
    "harmful",
    "reset",
    "pair",
)


def row_table(records: list[dict]) -> pd.DataFrame:
    """Records as a table with every column. Unknown values are NaN or empty."""
    table = pd.DataFrame(records).reindex(columns=list(COLUMNS))
    for column in ("kind", "pair", "group"):
        table[column] = table[column].fillna("").astype(object)
    table["weight"] = table["weight"].fillna(1.0)
    table["topic"] = table["topic"].fillna(table["prompt"])
    numbers = ["aligned", "weight", "coherent", "refusal", "harmful", "reset"]
    table[numbers] = table[numbers].astype(float)
    return table[table["answer"].astype(str).str.strip() != ""].reset_index(drop=True)
