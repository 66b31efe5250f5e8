"""From numbers to a verdict: walk the decision table of docs/protocol.md section 7 in order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lib.analysis.decision import Decision, GatePart, GateRow
from lib.analysis.findings import Analysis
from lib.analysis.gate_table import GATES, Bound, Gate
from lib.analysis.gate_zero import gate_zero, judged_share, judged_share_faults
from lib.analysis.limits import Thresholds, bound, finite, rounded
from lib.analysis.plain import by_name
from lib.analysis.remarks import beside_verdict

FOLLOW_UP = "Run the multi-seed follow-up, five seeds or more, before any claim beyond this run."
COLLAPSES = {
    "nothing": "the fine-tune did not make the baseline worse: there was nothing to defend against",
    "code": "the baseline collapsed into code, which is not misalignment",
    "noise": "the baseline collapsed into noise, which is not misalignment: without incoherent "
    "answers there was nothing to defend against",
    None: "",
}


def decide(
    analysis: Analysis,
    thresholds: Mapping[str, float],
    failed_checks: Sequence[str] = (),
    manual_review_done: bool | None = None,
) -> Decision:
    """The verdict: the first gate of section 7 that applies.

    Args:
        analysis: every statistic of the run.
        thresholds: params/gates.yaml.
        failed_checks: one line for each validity check of section 8 that failed.
        manual_review_done: None if unknown.

    Raises ValueError if a threshold is missing.
    """
    limits = Thresholds(thresholds)
    rows = [_gate_row(gate, analysis, limits) for gate in GATES]
    missing, decided = _walk(analysis, rows)
    invalid = [f"validity check failed: {check}" for check in failed_checks]
    invalid += judged_share_faults(analysis, limits, em_induced=rows[0].passed is True)
    invalid += [missing] if missing else []
    collapse = _collapse(rows[0])
    if invalid:
        verdict = "invalid"
        reason = "; ".join(invalid)
    elif decided:
        verdict = decided.name
        reason = f"gate {decided.number}: {decided.measure}: {decided.reason}"
        if verdict == "null":
            reason += f"; {_null_interval(analysis, limits['null_points'])}"
        if verdict == "em_not_induced":
            reason += f"; {COLLAPSES[collapse]}"
    else:
        strong = bound(analysis.delta, ">=", limits["strong_points"])
        verdict = "supported_strong" if strong.passed else "supported"
        reason = f"gates 0 to 6 pass; delta {strong.value:.4g}, strong if {strong.needed}"
    first = gate_zero(analysis, limits, invalid)
    return Decision(
        verdict=verdict,
        verdict_reason=reason,
        recommendation=FOLLOW_UP if verdict == "supported_strong" else None,
        em_collapse=collapse,
        gates=[first, *rows, _gate_seven(analysis, verdict)],
        beside=beside_verdict(analysis, limits, verdict, manual_review_done),
    )


def _gate_row(gate: Gate, analysis: Analysis, limits: Thresholds) -> GateRow:
    """The row of a gate: the number that decides it, and all of them where there are several."""
    parts = [_gate_part(part, analysis, limits) for part in gate.bounds]
    return GateRow(
        **by_name(_deciding(parts)),
        number=gate.number,
        name=gate.verdict,
        parts=parts if len(parts) > 1 else None,
    )


def _gate_part(part: Bound, analysis: Analysis, limits: Thresholds) -> GatePart:
    """One number of a gate against its threshold."""
    limit = part.factor * limits[part.threshold]
    compared = bound(getattr(analysis, part.key), part.sign, limit)
    return GatePart(**by_name(compared), measure=part.measure)


def _deciding(parts: Sequence[GatePart]) -> GatePart:
    """The number that decides a gate.

    The first failure decides, whatever else is missing. Without one the first missing number does.
    If all pass, the one with the smallest margin does, among those with the first one's threshold.
    """
    for state in (False, None):
        for part in parts:
            if part.passed is state:
                return part
    alike = [part for part in parts if part.threshold == parts[0].threshold]
    return min(alike, key=lambda part: math.inf if part.margin is None else part.margin)


def _collapse(gate_one: GateRow) -> str | None:
    """Why gate 1 failed, as a key of `COLLAPSES`. None if it passes or has no data."""
    if gate_one.passed is not False or gate_one.parts is None:
        return None
    unfiltered, filtered, code = gate_one.parts
    if unfiltered.passed is False:
        return "nothing"
    if code.passed is False:
        return "code"
    return "noise" if filtered.passed is False else None


def _walk(analysis: Analysis, rows: Sequence[GateRow]) -> tuple[str | None, GateRow | None]:
    """Walk the gates in order.

    Returns the first missing input and the first failing gate, or None for each.
    """
    roles = analysis.roles
    for arm in (roles.base, roles.baseline):
        if judged_share(analysis, arm) is None:
            return _missing(0, f"the judged share of {arm}"), None
    for row in rows:
        # The treatment's data are needed only once the EM baseline is known to be worth defending
        # against.
        if row.number == 2 and judged_share(analysis, roles.treatment) is None:
            return _missing(0, f"the judged share of {roles.treatment}"), None
        if row.passed is None:
            return _missing(row.number, row.measure), None
        if not row.passed:
            return None, row
    return None, None


def _missing(number: int, what: str) -> str:
    """The line on data that a gate needs."""
    return f"data missing: gate {number} needs {what}"


def _null_interval(analysis: Analysis, null_points: float) -> str:
    """Whether a null result excludes the smallest gain that would count, in words."""
    upper = finite(analysis.ci95[1]) if analysis.ci95 else None
    if upper is None:
        return f"there is no interval, so +{null_points:g} is not excluded"
    excludes = "excludes" if rounded(upper) < null_points else "does not exclude"
    return f"the 95 % interval {excludes} +{null_points:g}"


def _gate_seven(analysis: Analysis, verdict: str) -> GateRow:
    """The last row of the table, which has no threshold of its own."""
    supported = verdict.startswith("supported")
    return GateRow(
        number=7,
        name="supported",
        measure="what is left of gates 0 to 6",
        value=finite(analysis.delta),
        threshold=None,
        passed=None if verdict == "invalid" else supported,
        margin=None,
        needed="gates 0 to 6 pass",
        reason="they pass" if supported else f"{verdict} applies first",
    )
