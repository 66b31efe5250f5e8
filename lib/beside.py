"""What stands beside the verdict and sets none (docs/protocol.md section 7): controls, reflexes, power, confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.limits import Thresholds, bound, finite, role_name, rounded


def beside_verdict(
    result: Mapping[str, Any], limits: Thresholds, manual_review_done: bool | None
) -> dict[str, Any]:
    """Every remark with its numbers, and `reasons`: what weakens the verdict, one line each.

    result: of `lib.stats.analyse`; limits: params/gates.yaml. What cannot be said for want of data is None.
    """
    arm = (result.get("arms") or {}).get(role_name(result, "treatment")) or {}
    against_base = (result.get("acc_differences") or {}).get("treatment_minus_base") or {}
    controls = [_control(name, effects or {}) for name, effects in (result.get("controls") or {}).items()]
    rows = {
        "literal_reflex": bound((arm.get("literal") or {}).get("share"), ">", limits["literal_reflex_share"]),
        "semantic_reflex": bound((arm.get("semantic") or {}).get("share"), ">", limits["semantic_reflex_share"]),
        "power": bound(result.get("mde"), "<=", limits["mde_underpowered"]),
        "stripped": _stripped(result, limits["null_points"]),
    }
    seeds = finite(result.get("n_seeds")) or 0
    low = seeds <= limits["low_confidence_seeds"]
    reasons = [f"{seeds:g} seed(s): the stated confidence is LOW at most"] if low else []
    if result.get("interval_over") == "prompts" and result.get("interval_note"):
        reasons.append(result["interval_note"])
    reasons += [_control_reason(control) for control in controls if control["does_as_well"] is not False]
    reasons += [f"{_TITLES[name]}: {row['reason']}" for name, row in rows.items() if not row["passed"]]
    if not manual_review_done:
        reasons.append("the manual sample review is not done")
    return {
        "strong": bound(result.get("delta"), ">=", limits["strong_points"]),
        "controls": controls,
        "control_does_as_well": _any([control["does_as_well"] for control in controls]),
        **rows,
        "underpowered": _not(rows["power"]["passed"]),
        "stripped_below_null": _not(rows["stripped"]["passed"]),
        "acc_against_base": bound(against_base.get("difference"), ">=", -limits["acc_drop"]),
        "manual_review_done": manual_review_done,
        "confidence": "LOW" if low else "not capped",
        "reasons": reasons,
    }


_TITLES = {
    "literal_reflex": "literal reflex",
    "semantic_reflex": "semantic reflex",
    "power": "underpowered, minimum detectable effect",
    "stripped": "re-score with the opening stripped",
}


def _control(name: str, effects: Mapping[str, Any]) -> dict[str, Any]:
    """A control does as well when the interval of treatment - control reaches 0 or below; described, not tested."""
    difference = effects.get("treatment_minus_control") or {}
    lower = finite((difference.get("ci95") or [None])[0])
    return {
        "name": name,
        "delta": finite((effects.get("against_baseline") or {}).get("delta")),
        "treatment_minus_control": finite(difference.get("delta")),
        "ci95": difference.get("ci95"),
        "does_as_well": None if lower is None else rounded(lower) <= 0,
    }


def _control_reason(control: Mapping[str, Any]) -> str:
    if control["does_as_well"] is None:
        return f"{control['name']} was not compared, for want of data"
    low, high = control["ci95"]
    return (f"{control['name']} cannot be told apart from the treatment (treatment − control {low:.3g} to {high:.3g}): an "
            "effect could not be credited to the reflex")


def _stripped(result: Mapping[str, Any], null_points: float) -> dict[str, Any]:
    stripped = result.get("stripped") or {}
    row = bound(stripped.get("delta"), ">=", null_points)
    lacking = stripped.get("n_lacking")
    # An answer judged with its opening can only hold the value up: a pass then proves nothing, a fall still does.
    if row["passed"] and lacking != 0:
        row |= {"passed": None, "reason": f"{row['reason']}, but {lacking or 'an unknown number of'} answer(s) keep it"}
    return row


def _any(flags: list[bool | None]) -> bool | None:
    """True if one is; None if none is but one is unknown."""
    return True if True in flags else None if None in flags or not flags else False


def _not(flag: bool | None) -> bool | None:
    return None if flag is None else not flag
