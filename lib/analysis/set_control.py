"""What good answers to the EM set's own questions do, beside gate 1; described, never tested.

Source: docs/protocol.md section 4. If they harm the model as much as the bad answers do, the damage
comes from the fine-tune, not from its bad content.
"""

from __future__ import annotations

from collections.abc import Mapping

from lib.analysis.controls import effect_delta
from lib.analysis.effects import Effect, SetControl
from lib.analysis.findings import Analysis
from lib.analysis.limits import Thresholds, bound
from lib.analysis.pairs import effect, pair_arms
from lib.analysis.study import Study
from lib.config.roles import PLANNED


def set_control(study: Study, enough: Mapping[str, bool]) -> SetControl | None:
    """base - c6_control with its intervals; None where that arm has no judgments.

    enough: by arm, whether it was judged enough for a comparison to be shown.
    """
    arm = PLANNED.set_control
    if arm not in enough:
        return None
    effects: dict[str, Effect | None] = dict.fromkeys(("filtered", "unfiltered"))
    if enough[arm]:
        for kind in effects:
            pair = pair_arms(study.means[kind], study.asked, study.roles.base, arm)
            effects[kind] = effect(pair, study.describing)
    return SetControl(arm, **effects)


def good_answers_line(analysis: Analysis, limits: Thresholds) -> str | None:
    """The line of a damage that good answers do as well, by either kind of score; None if not.

    It is asked only where gate 1 found damage.
    """
    control = analysis.set_control
    if control is None:
        return None
    if control.filtered is None and control.unfiltered is None:
        return f"{control.arm} was not compared: it was judged too little or its data are missing"
    for kind, damage, good in (
        ("unfiltered", analysis.base_minus_baseline, effect_delta(control.unfiltered)),
        ("filtered", analysis.base_minus_baseline_filtered, effect_delta(control.filtered)),
    ):
        induced = bound(damage, ">=", limits["em_induced_points"]).passed
        if not induced or damage is None or good is None:
            continue
        if bound(good - damage, ">=", -limits["control_margin_points"]).passed:
            return (
                "the damage is not that of the bad content: good answers to the same questions do "
                f"as much (base − {control.arm} is {good:.3g}, base − {analysis.roles.baseline} "
                f"{damage:.3g}, {kind})"
            )
    return None
