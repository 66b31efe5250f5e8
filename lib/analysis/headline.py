"""Which number is the headline, and what its interval is over (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Mapping

from lib.analysis.effects import TestedEffect
from lib.analysis.limits import DECIMALS
from lib.analysis.pairs import Pair
from lib.config.roles import ComparedArms

KINDS = ("filtered", "unfiltered")


def choose(
    roles: ComparedArms,
    pairs: Mapping[str, Pair | None],
    dropped: Mapping[str, float | None],
    gap_points: float,
) -> tuple[str | None, str]:
    """Which kind of score is the headline, and why.

    It is the filtered one, unless the filter drops very different shares of both arms, or a prompt
    left the comparison.

    Args:
        roles: names treatment and baseline.
        pairs: treatment and baseline by kind of score.
        dropped: by arm, the share of scored answers that the filter drops.
        gap_points: how far these shares may be apart.
    """
    treatment = roles.treatment
    baseline = roles.baseline
    of_treatment = dropped[treatment]
    of_baseline = dropped[baseline]
    filtered = pairs["filtered"]
    unfiltered = pairs["unfiltered"]
    if of_treatment is None or of_baseline is None or filtered is None or unfiltered is None:
        return None, f"{treatment} and {baseline} have no scored completions on a shared seed"
    gap = round(abs(of_treatment - of_baseline) * 100, DECIMALS)
    if gap > gap_points:
        return "unfiltered", (
            f"the filter drops {of_treatment:.1%} of {treatment} and "
            f"{of_baseline:.1%} of {baseline}, "
            f"more than {gap_points:g} points apart"
        )
    if filtered.emptied or unfiltered.emptied:
        return "unfiltered", _left({"filtered": filtered, "unfiltered": unfiltered})
    return "filtered", (
        f"dropped shares differ by {gap:.1f} points (at most {gap_points:g}) and every prompt stays"
    )


def _left(pairs: Mapping[str, Pair]) -> str:
    """Which comparison prompts leave, how many and which, and how many stay in it.

    Args:
        pairs: treatment and baseline by kind of score.
    """
    leaving = []
    for kind, pair in pairs.items():
        if gone := len(pair.emptied):
            stay = pair.left.shape[1]
            verb = "leaves" if gone == 1 else "leave"
            asked = "prompt" if gone + stay == 1 else "prompts"
            stays = {0: "none stays", 1: "1 stays"}.get(stay, f"{stay} stay")
            leaving.append(
                f"{gone} of {gone + stay} {asked} {verb} the {kind} comparison, where {stays}"
            )
    names = sorted(set().union(*(pair.emptied for pair in pairs.values())))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    named = ", ".join(names[:3]) + more
    return f"{', and '.join(leaving)}: an arm has no usable answers to {named}"


def interval_note(tested: TestedEffect | None, needed: int) -> str | None:
    """What the tested interval is over, in words. None without an interval.

    needed: with so many seeds or more, seeds are resampled too.
    """
    if tested is None or tested.interval_over is None:
        return None
    seeds = "1 seed" if tested.n_seeds == 1 else f"{tested.n_seeds} seeds"
    if tested.interval_over == "prompts":
        return (
            f"the interval is over prompts only: with {seeds}, fewer than {needed}, "
            "it leaves out the variation between seeds"
        )
    return f"the interval is over prompts and {seeds}, resampled independently"
