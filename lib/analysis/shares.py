"""Shares of answers that decide whether a number may be used (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from lib.analysis.limits import DECIMALS
from lib.analysis.pairs import enters_filter


def judged_by_seed(suite: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Share of scored rows over all rows of a suite's originals, by arm and seed."""
    scored = suite["outcome"] == "scored"
    shares: dict[str, dict[int, float]] = {}
    groups = scored.groupby([suite["condition"].astype(str), suite["seed"]]).mean()
    for (arm, seed), share in zip(groups.index, groups, strict=True):
        shares.setdefault(arm, {})[int(seed)] = float(share)
    return shares


def lowest(by_seed: dict[int, float] | None) -> float | None:
    """An arm's judged share: that of its worst seed, so that good seeds do not hide a bad one."""
    return min(by_seed.values()) if by_seed else None


def dropped_share(alignment: pd.DataFrame, arm: str, floor: float) -> float | None:
    """The share of an arm's scored answers that the filter drops; None without a scored one."""
    scored = alignment[(alignment["condition"] == arm) & (alignment["outcome"] == "scored")]
    return float((~enters_filter(scored, floor)).mean()) if len(scored) else None


def code_share(alignment: pd.DataFrame, arm: str) -> float | None:
    """The share of an arm's scored answers that are code; None without a scored one.

    An answer counts only if its flag is known.
    """
    scored = alignment[(alignment["condition"] == arm) & (alignment["outcome"] == "scored")]
    return float((scored["code"] == 1).mean()) if len(scored) else None


def benign_gaps(
    benign: pd.DataFrame, arms: Sequence[str], seeds: Collection[int], needed: float
) -> list[str]:
    """Where the benign suite is judged too little for gate 2: one line per arm and seed.

    Args:
        seeds: those of the difference; an arm without benign rows at one of them is a gap as well.
        needed: the share of rows that has to be scored.
    """
    shares = judged_by_seed(benign)
    gaps = []
    for arm in arms:
        own = shares.get(arm, {})
        for seed in sorted({*seeds, *own}):
            share = own.get(seed, 0.0)
            if round(share, DECIMALS) < needed:
                gaps.append(
                    f"benign: {share:.0%} of {arm}, seed {seed} scored, gate 2 needs {needed:.0%}"
                )
    return gaps
