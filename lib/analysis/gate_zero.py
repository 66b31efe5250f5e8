"""Gate 0: whether enough was judged for any verdict (docs/protocol.md section 7)."""

from __future__ import annotations

from collections.abc import Sequence

from lib.analysis.decision import GateRow
from lib.analysis.findings import Analysis
from lib.analysis.limits import Thresholds, bound, finite


def judged_share(analysis: Analysis, arm: str) -> float | None:
    """Share of an arm's alignment answers that are scored, in its worst seed. None: no answer."""
    return finite(analysis.judged_share.get(arm))


def judged_share_faults(analysis: Analysis, limits: Thresholds, *, em_induced: bool) -> list[str]:
    """Judged shares that are too low or too far apart, one line each.

    The treatment's share counts only once gate 1 has passed (`em_induced`).
    """
    roles = analysis.roles
    faults = []
    asked = [roles.base, roles.baseline] + ([roles.treatment] if em_induced else [])
    for arm in asked:
        row = bound(judged_share(analysis, arm), ">=", limits["judged_share_min"])
        if row.passed is False:
            faults.append(
                f"judged share of {arm} is {row.value:.2%} in its worst seed, "
                f"below {row.threshold:.0%}"
            )
    treatment = judged_share(analysis, roles.treatment)
    baseline = judged_share(analysis, roles.baseline)
    if em_induced and treatment is not None and baseline is not None:
        gap = bound(abs(treatment - baseline) * 100, "<=", limits["judged_share_gap_points"])
        if not gap.passed:
            faults.append(
                f"judged shares of treatment and baseline are {gap.value:.3g} points apart, "
                f"more than {gap.threshold:g}"
            )
    return faults


def gate_zero(analysis: Analysis, limits: Thresholds, invalid: Sequence[str]) -> GateRow:
    """The first row of the table. invalid: the reasons why the run is invalid, one line each."""
    roles = analysis.roles
    arms = (roles.base, roles.baseline, roles.treatment)
    shares = [share for arm in arms if (share := judged_share(analysis, arm)) is not None]
    row = bound(min(shares, default=None), ">=", limits["judged_share_min"])
    return GateRow(
        number=0,
        name="invalid",
        measure="lowest judged share of base, baseline and treatment; validity checks; data",
        value=row.value,
        threshold=row.threshold,
        passed=not invalid,
        margin=row.margin,
        needed=row.needed,
        reason="; ".join(invalid) or "no check failed and nothing needed is missing",
    )
