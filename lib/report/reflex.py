"""The reflex in the judgments of a run: its columns, and the eval set on which its rates count."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lib.config.schema import Profile
from lib.data.reflex import add_reflex_columns
from lib.judge.session import read_samples
from lib.run.runs import Run
from lib.run.table_schemas import FULL

JOIN = ["seed", "condition", "suite", "prompt_id", "sample_index"]


def with_reflex(
    table: pd.DataFrame, run: Run, profile: Profile, openings: Sequence[str]
) -> pd.DataFrame:
    """Judgments with `literal` and `parrot`, which are read off the completions.

    Both are missing on stripped rows, and where there is no completion.
    """
    samples = read_samples(run, profile)[[*JOIN, "completion"]]
    joined = table.merge(samples, on=JOIN, how="left", validate="many_to_one")
    joined.loc[joined["variant"] != FULL, "completion"] = None
    return add_reflex_columns(joined, openings).drop(columns="completion")


def reflex_subset(table: pd.DataFrame, profile: Profile, elsewhere: bool) -> str | None:
    """The eval set on which the reflex rates count; None = all prompts.

    It is the first one of the profile, and Betley-8 for judgments from elsewhere.
    """
    wanted = "betley_8" if elsewhere else profile.data.eval_sets[0]
    subsets = table["subset"].dropna().unique()
    known = set("+".join(map(str, subsets)).split("+"))
    return wanted if wanted in known else None
