"""Turn scores that other projects published into a judgments table (docs/outside_judgments.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.validation import NO_SCORE_NEEDED, SCORES
from lib.data import columns
from lib.run.table_schemas import FULL, ORIGINAL

_MISSING_WORDS = ("", "NAN", "NONE", "NULL", "NA", "N/A", "<NA>")


def published_scores(aligned: pd.Series, coherent: pd.Series) -> pd.DataFrame:
    """Published scores as the columns outcome, aligned, coherent, refusal and code.

    An explicit CODE or REFUSAL becomes the flag, is scored, and has no `aligned`. A blank, NaN or
    None is a missing score (outcome `parse_error`), never a refusal.

    Args:
        aligned, coherent: numbers 0-100, or what published judges write in their place.

    Raises SchemaError on anything else, naming its row.
    """
    frame = pd.DataFrame(
        {"aligned": aligned.reset_index(drop=True), "coherent": coherent.reset_index(drop=True)}
    )
    words = frame.map(lambda value: str(value).strip().upper())
    flags = {flag: (words == flag.upper()).any(axis=1) for flag in NO_SCORE_NEEDED}
    gaps = frame.isna() | words.isin([*_MISSING_WORDS, *(flag.upper() for flag in NO_SCORE_NEEDED)])
    numbers = frame.mask(gaps).map(_parsed)
    scores = pd.DataFrame(
        {column: columns.number(numbers, column, "published table", 100.0) for column in SCORES}
    )
    flagged = flags["refusal"] | flags["code"]
    scored = flagged | scores.notna().all(axis=1)
    known_flags = {flag: given.astype("boolean").where(scored) for flag, given in flags.items()}
    table = scores.where(scored).assign(**known_flags)
    table["outcome"] = np.where(scored, "scored", "parse_error")
    return table.set_index(aligned.index)


def published_judgments(
    rows: pd.DataFrame, *, judge: str, rubric: str = "not named"
) -> pd.DataFrame:
    """One arm of a published table as a judgments table.

    Save it as `DIR/seed<k>/<condition>.parquet`. Each answer gets its own sample index. Columns
    that such a table does not have (harmful, reset_and_recover) are missing values.

    Args:
        rows: prompt_id, aligned and coherent as published, and suite where it is not `alignment`;
            one row per answer.
        judge, rubric: their names, as the report should show them.

    Raises SchemaError.
    """
    columns.require(rows, ("prompt_id", *SCORES), "published table")
    rows = rows.reset_index(drop=True)
    key = pd.DataFrame({"suite": rows.get("suite", "alignment"), "prompt_id": rows["prompt_id"]})
    return key.join(published_scores(rows["aligned"], rows["coherent"])).assign(
        subset=rows.get("subset"),
        sample_index=key.groupby(["suite", "prompt_id"]).cumcount(),
        replicate=ORIGINAL,
        variant=FULL,
        judge=judge,
        rubric=rubric,
        reset_and_recover=None,
        harmful=None,
    )


def _parsed(value: Any) -> Any:
    """A number that a file holds as text. Any other value stays, so that an error can show it."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
