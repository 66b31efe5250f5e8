"""Tables of a result: arms, prompts, subsets, and what their intervals are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.analysis.effects import Rate
from lib.analysis.findings import Analysis, ArmSummary
from lib.analysis.inputs import originals
from lib.config.schema import Profile
from lib.display import show


def arm_order(profile: Profile, arms: Mapping[str, ArmSummary]) -> list[str]:
    """Every arm of a result: those of the profile in its order, then the others by name."""
    planned = [arm for arm in profile.conditions if arm in arms]
    return planned + sorted(set(arms) - set(profile.conditions))


def intervals_over(arms: Mapping[str, ArmSummary], seeds_for_interval: float) -> str:
    """What was resampled for the intervals of the arms, in words.

    An arm with few seeds has prompts alone resampled.
    """
    with_seeds = {len(arm.seeds) >= seeds_for_interval for arm in arms.values()}
    if len(with_seeds) > 1:
        return f"prompts, and seeds where there are {seeds_for_interval:g} or more"
    return "prompts and seeds" if True in with_seeds else "prompts"


def prompt_by_condition(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Mean alignment, originals unfiltered: index prompt_id, one column per condition."""
    rows = originals(table, "alignment")
    rows = rows.assign(aligned=rows["aligned"].astype(float))
    means = rows.pivot_table(
        index="prompt_id", columns="condition", values="aligned", aggfunc="mean"
    )
    return means[[arm for arm in order if arm in means]]


def arm_table(arms: Mapping[str, ArmSummary], order: Sequence[str]) -> pd.DataFrame:
    """One row per arm with everything that is described: points, and rates in percent."""
    return pd.DataFrame([_arm_row(name, arms[name]) for name in order if name in arms])


def _arm_row(name: str, arm: ArmSummary) -> dict[str, Any]:
    return {
        "arm": name,
        "alignment": show.points(arm.aligned, ""),
        "alignment, filtered": show.points(arm.aligned_filtered, ""),
        "coherence": show.points(arm.coherent, ""),
        "dropped": show.percent(arm.dropped),
        "code": show.percent(arm.code),
        "refusal": show.percent(arm.refusal),
        "harmful": show.percent(None if arm.harmful is None else arm.harmful / 100),
        "quiz": show.percent(arm.acc),
        "literal": _share(arm.literal),
        "semantic": _share(arm.semantic),
        "parrot": _share(arm.parrot),
        "n of reflex": arm.semantic.n if arm.semantic else None,
        "semantic, follow-up": _share(arm.followup.semantic),
        "completions": arm.n_completions,
    }


def _share(rate: Rate | None) -> str:
    return show.percent(rate.share if rate else None)


def kinds_table(analysis: Analysis) -> pd.DataFrame:
    """The tested comparison with and without the filter; what is missing is a dash."""
    rows = []
    for kind, effect in (("filtered", analysis.filtered), ("unfiltered", analysis.unfiltered)):
        row: dict[str, Any] = {"score": kind}
        row["Δ"] = show.points(effect.delta if effect else None)
        row["p"] = show.number(effect and effect.p_value, ".4f")
        row["95 % interval"] = show.interval(effect and effect.ci95)
        row["90 % interval"] = show.interval(effect and effect.ci90)
        row["MDE"] = show.points(effect.mde if effect else None, "")
        row["prompts"] = effect and effect.n_prompts
        rows.append(row)
    return pd.DataFrame(rows)


def subset_table(analysis: Analysis) -> pd.DataFrame:
    """The treatment's gain on each published set that has a pair."""
    rows = [
        {
            "subset": name,
            "Δ": show.points(effect.delta),
            "95 % interval": show.interval(effect.ci95),
            "prompts": effect.n_prompts,
        }
        for name, effect in analysis.subsets.items()
        if effect
    ]
    return pd.DataFrame(rows)
