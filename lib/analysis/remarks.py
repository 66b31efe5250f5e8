"""Remarks on a verdict, none of which changes it (docs/protocol.md sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lib.analysis.controls import LESS_WELL, control_reason, control_remark, effect_delta
from lib.analysis.decision import RefusalRemark, Remarks, SecondJudgeRemark
from lib.analysis.far_field import bad_advice_line
from lib.analysis.findings import Analysis
from lib.analysis.limits import Comparison, Thresholds, bound, finite
from lib.analysis.set_control import good_answers_line

NOT_THE_REFLEX = "not shown to be the reflex"
_TITLES = {
    "literal_reflex": "literal reflex",
    "semantic_reflex": "semantic reflex",
    "power": "underpowered, minimum detectable effect",
    "stripped": "re-score with the opening stripped",
}


def beside_verdict(
    analysis: Analysis, limits: Thresholds, verdict: str, manual_review_done: bool | None
) -> Remarks:
    """Every remark with its numbers; None where the data for it are missing.

    manual_review_done: None if unknown.
    """
    arm = analysis.arms.get(analysis.roles.treatment)
    literal = arm.literal if arm else None
    semantic = arm.semantic if arm else None
    against_base = analysis.acc_differences.treatment_minus_base
    acc = against_base.difference if against_base else None
    margin = limits["control_margin_points"]
    controls = [control_remark(arm, effects, margin) for arm, effects in analysis.controls.items()]
    all_do_less_well = bool(controls) and all(control.does == LESS_WELL for control in controls)
    supported = verdict.startswith("supported")
    power = bound(analysis.mde, "<=", limits["mde_underpowered"])
    stripped = _stripped(analysis, limits)
    remarks = Remarks(
        strong=bound(analysis.delta, ">=", limits["strong_points"]),
        title=NOT_THE_REFLEX if supported and not all_do_less_well else None,
        controls=controls,
        control_does_as_well=_any([control.does_as_well for control in controls]),
        literal_reflex=bound(
            literal.share if literal else None, ">", limits["literal_reflex_share"]
        ),
        semantic_reflex=bound(
            semantic.share if semantic else None, ">", limits["semantic_reflex_share"]
        ),
        power=power,
        stripped=stripped,
        underpowered=_not(power.passed),
        stripped_below_null=_not(stripped.passed),
        filter_decides=_sides_differ(
            effect_delta(analysis.filtered),
            effect_delta(analysis.unfiltered),
            limits["null_points"],
        ),
        refusal=_refusal(analysis, limits),
        second_judge=_second_judge(analysis, limits),
        acc_against_base=bound(acc, ">=", -limits["acc_drop"]),
        manual_review_done=manual_review_done,
        confidence=_confidence(analysis, limits),
        few_seeds=_few_seeds(analysis, limits),
        reasons=[],
    )
    return replace(remarks, reasons=_reasons(remarks, analysis, limits))


def _reasons(remarks: Remarks, analysis: Analysis, limits: Thresholds) -> list[str]:
    """What weakens the verdict, one line each."""
    reasons = [remarks.few_seeds] if remarks.few_seeds else []
    if analysis.interval_over == "prompts" and analysis.interval_note:
        reasons.append(analysis.interval_note)
    if remarks.filter_decides:
        reasons.append(
            "the filter decides: filtered and unfiltered Δ are on different sides of "
            f"+{limits['null_points']:g}"
        )
    weaker = (remarks.refusal.reason, remarks.second_judge.reason)
    reasons += [line for line in weaker if line]
    reasons += [
        control_reason(control, analysis, limits)
        for control in remarks.controls
        if control.does != LESS_WELL
    ]
    of_the_set = (bad_advice_line(analysis, limits), good_answers_line(analysis, limits))
    reasons += [line for line in of_the_set if line]
    if analysis.code_known is False:
        reasons.append(
            "the judgments have no `code` column: no answer counts as code and none is filtered out"
        )
    for name in _TITLES:
        compared = getattr(remarks, name)
        if not compared.passed:
            reasons.append(bound_line(name, compared.reason))
    if not remarks.manual_review_done:
        reasons.append("the manual sample review is not done")
    return reasons


def bound_line(name: str, reason: str) -> str:
    """The line on a bound that is not met. name: of a field of Remarks."""
    return f"{_TITLES[name]}: {reason}"


def _confidence(analysis: Analysis, limits: Thresholds) -> str:
    """The confidence that may be stated, by the number of seeds."""
    seeds = finite(analysis.n_seeds) or 0
    if seeds <= limits["low_confidence_seeds"]:
        return "LOW"
    return "LIMITED" if seeds < limits["seeds_for_interval"] else "not capped"


# Shares of studies of a method without effect that reach p < 0.05, by seeds, where seeds scatter
# by 4 points (and by 2, for one seed): docs/calibration.md has the simulation.
_FALSE_ALARMS = {1: "10 % or 20 %", 2: "about 16 %", 3: "about 13 %", 4: "about 11 %"}


def _few_seeds(analysis: Analysis, limits: Thresholds) -> str | None:
    """What a p value of few seeds means, in one line; None from five seeds on."""
    seeds = int(finite(analysis.n_seeds) or 0)
    if not 0 < seeds < limits["seeds_for_interval"]:
        return None
    scatter = "2 or 4 points" if seeds == 1 else "4 points"
    counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return (
        f"{counted}: p, interval and minimum detectable effect hold for these trained models, not "
        f"for the method. If seeds scatter by {scatter}, a method without effect gets p < 0.05 in "
        f"{_FALSE_ALARMS.get(seeds, 'more than 5 %')} of studies. Stated confidence: "
        f"{_confidence(analysis, limits)}"
    )


def _sides_differ(first: float | None, second: float | None, limit: float) -> bool | None:
    """Whether two values lie on different sides of a limit. A value at the limit lies above.

    None if a value is missing.
    """
    sides = [bound(value, ">=", limit).passed for value in (first, second)]
    return None if None in sides else sides[0] != sides[1]


def _refusal(analysis: Analysis, limits: Thresholds) -> RefusalRemark:
    """Whether a gain may be refusal: by the rise of its rate, or by delta without refusals."""
    effects = analysis.refusals
    rises = {"union": effect_delta(effects.union), "benign": effect_delta(effects.benign)}
    answered = effect_delta(effects.answers)
    limit = limits["refusal_rise_points"]
    risen = {
        suite: None if rise is None else bound(rise * 100, ">=", limit).passed
        for suite, rise in rises.items()
    }
    differ = _sides_differ(finite(analysis.delta), answered, limits["null_points"])
    applies = _any([*risen.values(), differ])
    parts = [
        f"refusals rise by {rise * 100:.3g} points on {suite}"
        for suite, rise in rises.items()
        if rise is not None and risen[suite]
    ]
    if differ:
        parts.append(f"Δ over answers that are not refusals is {answered:+.3g}")
    return RefusalRemark(
        in_part_refusal=applies,
        delta_without_refusals=answered,
        rises=rises,
        reason=f"the gain is, at least in part, refusal: {', '.join(parts)}" if applies else None,
    )


def _second_judge(analysis: Analysis, limits: Thresholds) -> SecondJudgeRemark:
    """Whether delta, or gate 1, lies on the other side of its bound by the second judge."""
    second = analysis.second_judge
    if second is None:
        return SecondJudgeRemark(depends_on_the_judge=None, delta=None, reason=None)
    null = limits["null_points"]
    induced = limits["em_induced_points"]
    delta = effect_delta(second.effect)
    numbers = (  # name in the reason, first judge's, second judge's, limit
        ("Δ", analysis.delta, delta, null),
        ("gate 1, unfiltered,", analysis.base_minus_baseline, second.base_minus_baseline, induced),
        (
            "gate 1, filtered,",
            analysis.base_minus_baseline_filtered,
            second.base_minus_baseline_filtered,
            induced,
        ),
    )
    differ = [
        _sides_differ(finite(ours), finite(theirs), limit) for _, ours, theirs, limit in numbers
    ]
    parts = [
        f"{name} is {theirs:.3g} by the second judge"
        for (name, _, theirs, _), flag in zip(numbers, differ, strict=True)
        if flag
    ]
    applies = _any(differ)
    return SecondJudgeRemark(
        depends_on_the_judge=applies,
        delta=delta,
        reason=f"depends on the judge: {', '.join(parts)}" if applies else None,
    )


def _stripped(analysis: Analysis, limits: Thresholds) -> Comparison:
    """Compare the stripped re-score with gate 3's bound.

    It passes only if enough of it is scored and no answer keeps its opening.
    """
    stripped = analysis.stripped
    row = bound(stripped.delta if stripped else None, ">=", limits["null_points"])
    if stripped is None:
        return row
    lacking = stripped.n_lacking
    if stripped.n_replaced == 0 and lacking == 0:
        reason = "no answer contains an opening: there was nothing to strip"
        return replace(row, passed=None, reason=reason)
    # An answer that was judged with its opening can only raise the value. So a pass proves nothing
    # then, but a fail still does.
    if row.passed and lacking != 0:
        return replace(row, passed=None, reason=f"{row.reason}, but {_answers(lacking)} it")
    scored = finite(stripped.scored_share)
    if row.passed and not bound(scored, ">=", limits["judged_share_min"]).passed:
        share = "an unknown share" if scored is None else f"{scored:.2%}"
        reason = f"{row.reason}, but only {share} of the stripped answers are scored"
        return replace(row, passed=None, reason=reason)
    return row


def _answers(count: int | None) -> str:
    """How many answers keep their opening, in words."""
    if count is None:
        return "an unknown number of answers keep"
    return "1 answer keeps" if count == 1 else f"{count} answers keep"


def _any(flags: Sequence[bool | None]) -> bool | None:
    """True if any flag is. None if none is true and one is unknown, or if there are none."""
    if True in flags:
        return True
    return None if None in flags or not flags else False


def _not(flag: bool | None) -> bool | None:
    """The opposite; None if unknown."""
    return None if flag is None else not flag
