"""How the controls do compared with the treatment; described, not tested.

docs/protocol.md section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.analysis.decision import ControlRemark
from lib.analysis.effects import ControlEffects, Effect
from lib.analysis.findings import Analysis
from lib.analysis.limits import Thresholds, finite, rounded

BETTER = "better"
LESS_WELL = "less well"
AS_WELL = "as well"
UNTOLD = "cannot be told apart"
DOES = {  # of a control that weakens the verdict, in a sentence
    BETTER: "does better than the treatment",
    AS_WELL: "does as well as the treatment",
    UNTOLD: "cannot be told apart from the treatment",
}


def effect_delta(effect: Effect | None) -> float | None:
    """An effect's difference; None without an effect."""
    return finite(effect.delta) if effect else None


def control_remark(name: str, effects: ControlEffects, margin: float) -> ControlRemark:
    """How a control does, by the interval of treatment - control.

    margin: points within which both count as equal.
    """
    difference = effects.treatment_minus_control
    ci95 = difference.ci95 if difference else None
    does = _does(ci95, margin)
    return ControlRemark(
        name=name,
        delta=effect_delta(effects.against_baseline),
        treatment_minus_control=effect_delta(difference),
        ci95=ci95,
        does=does,
        # If it may do as well as the treatment, the effect is not the reflex's.
        does_as_well=None if does is None else does != LESS_WELL,
    )


def _does(ci95: Sequence[float] | None, margin: float) -> str | None:
    """`better`, `less well`, `as well` or `cannot be told apart`; None without an interval."""
    if ci95 is None:
        return None
    lower = finite(ci95[0])
    upper = finite(ci95[1])
    if lower is None or upper is None:
        return None
    if rounded(upper) < 0:
        return BETTER
    if rounded(lower) > 0:
        return LESS_WELL
    if rounded(lower) >= -margin and rounded(upper) <= margin:
        return AS_WELL
    return UNTOLD


def control_reason(control: ControlRemark, analysis: Analysis, limits: Thresholds) -> str:
    """Why a control weakens the verdict, in one line."""
    name = control.name
    if control.does is None or control.ci95 is None:
        if name in analysis.controls_judged_too_little:
            share = analysis.judged_share[name]
            return (
                f"judged share of {name} is {share:.2%} in its worst seed, below "
                f"{limits['judged_share_min']:.0%}: its comparison is not shown"
            )
        return f"{name} was not compared: its data are missing"
    return compared_line(name, control.does, control.ci95)


def compared_line(name: str, does: str, ci95: Sequence[float]) -> str:
    """A control that does not do less well, with the interval of treatment - control, points."""
    low, high = ci95
    return (
        f"{name} {DOES[does]} (treatment − control {low:.3g} to {high:.3g}): an effect could not "
        "be credited to the reflex"
    )
