"""Checks of a table of several arms as a whole: its judges, its scale, prompts that look alike."""

from __future__ import annotations

import pandas as pd

from lib.analysis.validation import SCORES
from lib.data.columns import SchemaError
from lib.data.lookalike import lookalike
from lib.run.table_schemas import ORIGINAL

FEW_ROWS = 20  # below it a narrow range of scores may be chance
NOT_NAMED = "not named"  # a judge or rubric of a table that does not say


def judges(table: pd.DataFrame) -> list[dict[str, str]]:
    """The one judge and rubric of each suite; suites may differ.

    What is judged again (replicate 1 and above) has a judge of its own, which is not looked at.
    Raises SchemaError if a suite has two.
    """
    known = [column for column in ("judge", "rubric") if column in table]
    if not known:
        return []
    by_suite = []
    for suite, rows in table[table["replicate"] == ORIGINAL].groupby("suite", sort=True):
        pairs = rows[known].fillna(NOT_NAMED).astype(str).drop_duplicates()
        if len(pairs) > 1:
            named = ", ".join(sorted(" ".join(row) for row in pairs.itertuples(index=False)))
            raise SchemaError(
                f"suite {suite!r}: its judgments come from {len(pairs)} judges or rubrics "
                f"({named}); judge all arms of a suite in one session, or give one judge's folder"
            )
        unknown = {"suite": str(suite), "judge": NOT_NAMED, "rubric": NOT_NAMED}
        by_suite.append(unknown | pairs.iloc[0].to_dict())
    return by_suite


def check_scale(table: pd.DataFrame, label: str, *, whole_table: bool) -> None:
    """Check that scores are points and not shares (0-1), which would pass no threshold in points.

    It is for tables from elsewhere; this project's judges give points.
    One arm may hold nothing but the points 0 and 1, so only fractions give its scale away.

    Args:
        label: the file or table that an error should name.
        whole_table: whether the table holds every arm.

    Raises SchemaError.
    """
    for column in SCORES:
        scores = _scored(table, column)
        may_be_shares = whole_table or (scores % 1 != 0).any()
        if may_be_shares and len(scores) >= FEW_ROWS and 0 < scores.max() <= 1:
            raise SchemaError(
                f"{label}: column {column!r}: all {len(scores)} scores lie within "
                f"{scores.min():.4g} to {scores.max():.4g}, a scale of 0-1; gates read points, "
                "multiply the column by 100"
            )


def scale_notes(table: pd.DataFrame) -> list[str]:
    """Lines for the headline: score columns of an arm that never pass 10, as on a scale of 1-10.

    Only for tables from elsewhere.
    """
    lines = []
    for column in SCORES:
        for part, scores in _low_scores(table, column).items():
            lines.append(
                f"Scores of {part} may be on another scale: column {column!r} lies within "
                f"{scores.min():.4g} to {scores.max():.4g} in all {len(scores)} scored rows. "
                "Gates read points 0-100; on a scale of 1-10, convert the column and score again."
            )
    return lines


def _low_scores(table: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    """The scores that never pass 10: of every arm, or else by arm and seed."""
    everything = _scored(table, column)
    if 0 <= everything.max() <= 10:
        return {"every arm": everything}
    low = {}
    for (arm, seed), rows in table.groupby(["condition", "seed"], observed=True):
        scores = _scored(rows, column)
        if len(scores) >= FEW_ROWS and scores.max() <= 10:
            low[f"{arm}, seed {seed}"] = scores
    return low


def _scored(table: pd.DataFrame, column: str) -> pd.Series:
    """The scores of the scored rows."""
    return table.loc[table["outcome"] == "scored", column].astype(float).dropna()


def alike_prompts(table: pd.DataFrame, first: str, second: str) -> list[str]:
    """One line for each alignment prompt of one arm that the other arm has under a similar id.

    Such ids differ only in white space, case or invisible signs.
    """
    rows = table[table["suite"] == "alignment"]
    own = set(rows.loc[rows["condition"] == first, "prompt_id"])
    other = set(rows.loc[rows["condition"] == second, "prompt_id"])
    twins = {prompt: lookalike(prompt, other - own) for prompt in sorted(own - other)}
    return [
        f"alignment: {first} has the prompt {prompt!r}, {second} has {twin!r}: equal but for "
        "white space, case or invisible signs, so they are not paired; give both arms one id"
        for prompt, twin in twins.items()
        if twin is not None
    ]
