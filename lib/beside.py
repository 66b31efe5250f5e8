"""What stands beside the verdict and sets none (docs/protocol.md sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.limits import Thresholds, bound, finite, role_name, rounded

NOT_THE_REFLEX = "not shown to be the reflex"
BETTER, LESS_WELL, AS_WELL, UNTOLD = "better", "less well", "as well", "cannot be told apart"
_TITLES = {
    "literal_reflex": "literal reflex",
    "semantic_reflex": "semantic reflex",
    "power": "underpowered, minimum detectable effect",
    "stripped": "re-score with the opening stripped",
}


def beside_verdict(
    result: Mapping[str, Any], limits: Thresholds, verdict: str, manual_review_done: bool | None
) -> dict[str, Any]:
    """Every remark with its numbers, and `reasons`: what weakens the verdict, one line each.

    result: of `lib.stats.analyse`; limits: params/gates.yaml. What cannot be said for want of data is None.
    """
    arm = (result.get("arms") or {}).get(role_name(result, "treatment")) or {}
    against_base = (result.get("acc_differences") or {}).get("treatment_minus_base") or {}
    controls = [
        _control(name, effects or {}, limits["control_margin_points"])
        for name, effects in (result.get("controls") or {}).items()
    ]
    rows = {
        "literal_reflex": bound((arm.get("literal") or {}).get("share"), ">", limits["literal_reflex_share"]),
        "semantic_reflex": bound((arm.get("semantic") or {}).get("share"), ">", limits["semantic_reflex_share"]),
        "power": bound(result.get("mde"), "<=", limits["mde_underpowered"]),
        "stripped": _stripped(result, limits),
    }
    filter_decides = _sides_differ(_delta(result, "filtered"), _delta(result, "unfiltered"), limits["null_points"])
    refusal = _refusal(result, limits)
    second = _second_judge(result, limits)
    few_seeds = _few_seeds(result, limits)
    reasons = [few_seeds] if few_seeds else []
    if result.get("interval_over") == "prompts" and result.get("interval_note"):
        reasons.append(result["interval_note"])
    if filter_decides:
        reasons.append(f"the filter decides: filtered and unfiltered Δ lie on different sides of "
                       f"+{limits['null_points']:g}")
    reasons += [line for line in (refusal["reason"], second["reason"]) if line]
    reasons += [_control_reason(c, result, limits) for c in controls if c["does"] != LESS_WELL]
    if result.get("code_known") is False:
        reasons.append("the judgments have no `code` column: no answer counts as code, and the filter lacks it")
    reasons += [f"{_TITLES[name]}: {row['reason']}" for name, row in rows.items() if not row["passed"]]
    if not manual_review_done:
        reasons.append("the manual sample review is not done")
    untied = bool(controls) and all(control["does"] == LESS_WELL for control in controls)
    return {
        "strong": bound(result.get("delta"), ">=", limits["strong_points"]),
        "title": NOT_THE_REFLEX if verdict.startswith("supported") and not untied else None,
        "controls": controls,
        "control_does_as_well": _any([_as_well(control["does"]) for control in controls]),
        **rows,
        "underpowered": _not(rows["power"]["passed"]),
        "stripped_below_null": _not(rows["stripped"]["passed"]),
        "filter_decides": filter_decides,
        "refusal": refusal,
        "second_judge": second,
        "acc_against_base": bound(against_base.get("difference"), ">=", -limits["acc_drop"]),
        "manual_review_done": manual_review_done,
        "confidence": _confidence(result, limits),
        "few_seeds": few_seeds,
        "reasons": reasons,
    }


def _confidence(result: Mapping[str, Any], limits: Thresholds) -> str:
    seeds = finite(result.get("n_seeds")) or 0
    if seeds <= limits["low_confidence_seeds"]:
        return "LOW"
    return "LIMITED" if seeds < limits["seeds_for_interval"] else "not capped"


# Shares of studies of a method without effect that reach p < 0.05, by seeds, where seeds scatter by 4 points
# (and by 2, for one seed): docs/calibration.md has the simulation.
_FALSE_ALARMS = {1: "10 % or 20 %", 2: "about 16 %", 3: "about 13 %", 4: "about 11 %"}


def _few_seeds(result: Mapping[str, Any], limits: Thresholds) -> str | None:
    """What a p of few seeds means, in one line; None from five seeds on."""
    seeds = int(finite(result.get("n_seeds")) or 0)
    if not 0 < seeds < limits["seeds_for_interval"]:
        return None
    scatter = "2 or 4 points" if seeds == 1 else "4 points"
    counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return (
        f"{counted}: p, interval and minimum detectable effect hold for these trained models, not for the "
        f"method: if seeds scatter by {scatter}, a method without effect gets p < 0.05 in "
        f"{_FALSE_ALARMS.get(seeds, 'more than 5 %')} of studies; stated confidence {_confidence(result, limits)}"
    )


def _delta(result: Mapping[str, Any], kind: str) -> float | None:
    return finite((result.get(kind) or {}).get("delta"))


def _sides_differ(first: float | None, second: float | None, limit: float) -> bool | None:
    """Whether two values lie on different sides of a limit, which itself belongs above; None if one is missing."""
    sides = [bound(value, ">=", limit)["passed"] for value in (first, second)]
    return None if None in sides else sides[0] != sides[1]


def _refusal(result: Mapping[str, Any], limits: Thresholds) -> dict[str, Any]:
    """Whether the gain is, at least in part, refusal: by the rise of its rate, or by delta without refusals."""
    found = result.get("refusals") or {}
    rises = {suite: finite((found.get(suite) or {}).get("delta")) for suite in ("union", "benign")}
    answered = finite((found.get("answers") or {}).get("delta"))
    limit = limits["refusal_rise_points"]
    risen = {
        suite: None if rise is None else bound(rise * 100, ">=", limit)["passed"]
        for suite, rise in rises.items()
    }
    differ = _sides_differ(finite(result.get("delta")), answered, limits["null_points"])
    applies = _any([*risen.values(), differ])
    parts = [
        f"refusals rise by {rise * 100:.3g} points on {suite}"
        for suite, rise in rises.items() if risen[suite]
    ]
    if differ:
        parts.append(f"Δ over answers that are not refusals is {answered:+.3g}")
    reason = f"the gain is, at least in part, refusal: {', '.join(parts)}" if applies else None
    return {"in_part_refusal": applies, "delta_without_refusals": answered, "rises": rises, "reason": reason}


def _second_judge(result: Mapping[str, Any], limits: Thresholds) -> dict[str, Any]:
    """Whether the verdict depends on the judge: delta or gate 1 on another side by the second judge."""
    second = result.get("second_judge") or {}
    differ = {
        "delta": _sides_differ(finite(result.get("delta")), finite(second.get("delta")), limits["null_points"])
    }
    for key in ("base_minus_baseline", "base_minus_baseline_filtered"):
        pair = finite(result.get(key)), finite(second.get(key))
        differ[key] = _sides_differ(*pair, limits["em_induced_points"])
    named = {
        "delta": "Δ", "base_minus_baseline": "gate 1, unfiltered,",
        "base_minus_baseline_filtered": "gate 1, filtered,",
    }
    parts = [f"{named[key]} is {second[key]:.3g} by the second judge" for key, flag in differ.items() if flag]
    applies = _any(list(differ.values())) if second else None
    reason = f"depends on the judge: {', '.join(parts)}" if applies else None
    return {"depends_on_the_judge": applies, "delta": finite(second.get("delta")), "reason": reason}


def _control(name: str, effects: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """How a control does beside the treatment, by the interval of treatment - control; described, not tested."""
    difference = effects.get("treatment_minus_control") or {}
    does = _does(difference.get("ci95"), margin)
    return {
        "name": name,
        "delta": finite((effects.get("against_baseline") or {}).get("delta")),
        "treatment_minus_control": finite(difference.get("delta")),
        "ci95": difference.get("ci95"),
        "does": does,
        "does_as_well": _as_well(does),
    }


def _does(ci95: Any, margin: float) -> str | None:
    """`better`, `less well`, `as well` or `cannot be told apart`; None without an interval."""
    lower, upper = (finite(end) for end in ci95 or (None, None))
    if lower is None or upper is None:
        return None
    if rounded(upper) < 0:
        return BETTER
    if rounded(lower) > 0:
        return LESS_WELL
    if rounded(lower) >= -margin and rounded(upper) <= margin:
        return AS_WELL
    return UNTOLD


def _as_well(does: str | None) -> bool | None:
    """Whether a control may do as well as the treatment, so that the effect is not the reflex's."""
    return None if does is None else does != LESS_WELL


def _control_reason(control: Mapping[str, Any], result: Mapping[str, Any], limits: Thresholds) -> str:
    name = control["name"]
    if control["does"] is None:
        if name in (result.get("controls_judged_too_little") or ()):
            share = result["judged_share"][name]
            return (f"judged share of {name} is {share:.2%} in its worst seed, below "
                    f"{limits['judged_share_min']:.0%}: its comparison is not shown")
        return f"{name} was not compared, for want of data"
    low, high = control["ci95"]
    words = {
        BETTER: "does better than the treatment",
        AS_WELL: "does as well as the treatment",
        UNTOLD: "cannot be told apart from the treatment",
    }[control["does"]]
    return (f"{name} {words} (treatment − control {low:.3g} to {high:.3g}): an effect could not be credited "
            "to the reflex")


def _stripped(result: Mapping[str, Any], limits: Thresholds) -> dict[str, Any]:
    """The stripped re-score: it passes only where enough of it is scored and nothing keeps its opening."""
    stripped = result.get("stripped") or {}
    row = bound(stripped.get("delta"), ">=", limits["null_points"])
    lacking, scored = stripped.get("n_lacking"), finite(stripped.get("scored_share"))
    if stripped and stripped.get("n_replaced") == 0 and lacking == 0:
        return row | {"passed": None, "reason": "no answer holds an opening: there was nothing to strip"}
    # An answer judged with its opening can only hold the value up: a pass then proves nothing, a fall still does.
    if row["passed"] and lacking != 0:
        row |= {"passed": None, "reason": f"{row['reason']}, but {_answers(lacking)} it"}
    elif row["passed"] and not bound(scored, ">=", limits["judged_share_min"])["passed"]:
        share = "an unknown share" if scored is None else f"{scored:.2%}"
        row |= {"passed": None, "reason": f"{row['reason']}, but only {share} of the stripped answers is scored"}
    return row


def _answers(count: int | None) -> str:
    if count is None:
        return "an unknown number of answers keep"
    return "1 answer keeps" if count == 1 else f"{count} answers keep"


def _any(flags: list[bool | None]) -> bool | None:
    """True if one is; None if none is but one is unknown."""
    return True if True in flags else None if None in flags or not flags else False


def _not(flag: bool | None) -> bool | None:
    return None if flag is None else not flag
