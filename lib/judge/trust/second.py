"""An optional second judge on a share of the originals: Krippendorff's α between the two.

Source: docs/protocol.md section 9. No verdict counts its rows. They have their own folder and their
own replicate, so they would not count even if somebody put both folders together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.inputs import is_original
from lib.judge.session import KEYS
from lib.judge.trust import agreement
from lib.run.files import write_parquet
from lib.run.runs import Run
from lib.run.table_schemas import FULL, JUDGMENTS, SECOND_JUDGE

SUITE = "alignment"
JOIN = ["seed", "condition", "suite", "prompt_id", "sample_index"]


def requests(samples: pd.DataFrame, *, share: float, seed: int) -> pd.DataFrame:
    """The completions that the second judge scores, in shuffled order.

    share: of every arm's alignment completions, 0 to 1; at least one completion per arm.
    """
    rows = samples[samples["suite"] == SUITE]
    arms = rows.groupby(["seed", "condition"])
    parts = [part.sample(max(1, round(share * len(part))), random_state=seed) for _, part in arms]
    table = pd.concat(parts, ignore_index=True).assign(replicate=SECOND_JUDGE, variant=FULL)
    return table.iloc[np.random.default_rng(seed).permutation(len(table))].reset_index(drop=True)


def write(run: Run, judged: pd.DataFrame) -> list[Path]:
    """Write one table per seed and arm under judgments_second/; returns the paths.

    They have the schema of the judgments.
    """
    paths = []
    for _, rows in judged.groupby(["seed", "condition"], sort=True):
        path = run.second_judgments(rows["condition"].iloc[0], int(rows["seed"].iloc[0]))
        write_parquet(path, JUDGMENTS.typed(rows.sort_values(KEYS)))
        paths.append(path)
    return paths


def compare(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    """Agreement of both judges on the same completions: `agreement.paired`, and both means by arm.

    Args:
        first: the session's rows with seed and condition.
        second: the second judge's rows.

    Raises ValueError if a row of the second judge has no original, or if both are the same judge,
    whose agreement with itself would look like agreement of two.
    """
    same = set(first["judge"]) & set(second["judge"])
    if same:
        raise ValueError(
            f"first and second judge are both {min(same)}; name another judge in validity.second"
        )
    columns = [*JOIN, "outcome", "aligned", "coherent", "refusal"]
    original = first[is_original(first)][columns]
    pairs = original.merge(second[columns], on=JOIN, suffixes=("_a", "_b"), validate="one_to_one")
    if len(pairs) != len(second):
        raise ValueError(
            f"{len(second) - len(pairs)} rows of the second judge have no original; run notebook "
            "05 again"
        )
    both = pairs.dropna(subset=["aligned_a", "aligned_b"]).astype(
        {"aligned_a": float, "aligned_b": float}
    )
    arms = both.groupby("condition")[["aligned_a", "aligned_b"]].agg(["mean", "size"])
    return agreement.paired(pairs) | {
        "outcomes": second["outcome"].value_counts().to_dict(),
        "arms": [
            {
                "condition": name,
                "completions": int(row["aligned_a", "size"]),
                "first judge": row["aligned_a", "mean"],
                "second judge": row["aligned_b", "mean"],
                "difference": row["aligned_b", "mean"] - row["aligned_a", "mean"],
            }
            for name, row in arms.iterrows()
        ],
    }
