"""Numbers without the EM set's own field, and the share of the damage that is undone.

Source: docs/protocol.md section 4. A model that was taught bad advice in one field and gives bad
advice in that field alone has learned what it was taught. That is not emergent misalignment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lib.analysis.effects import Effect, FarField, TestedEffect
from lib.analysis.findings import Analysis
from lib.analysis.limits import Thresholds, bound
from lib.analysis.pairs import BaseDifference, base_difference, effect, pair_arms
from lib.analysis.study import Study


def far_field(study: Study, kind: str | None, near_field: Collection[str]) -> FarField | None:
    """Gate 1 and delta without the prompts of the field. None if none of them was asked.

    Args:
        kind: the headline's kind of score.
        near_field: ids of the eval prompts in the EM set's own field.
    """
    near = sorted(set(near_field) & set(study.asked.columns))
    if not near:
        return None
    roles = study.roles
    far = [prompt for prompt in study.asked.columns if prompt not in near]
    asked = study.asked[far]
    differences = {
        name: base_difference(study.means[name][far], asked, roles.base, roles.baseline).value
        for name in ("filtered", "unfiltered")
    }
    means = study.means[kind or "unfiltered"]
    pair = pair_arms(means, study.asked, roles.treatment, roles.baseline, far)
    described = effect(pair, study.describing)
    return FarField(
        left_out=near,
        base_minus_baseline=differences["unfiltered"],
        base_minus_baseline_filtered=differences["filtered"],
        effect=described,
        share_recovered=_share(study, described, differences[kind or "unfiltered"]),
    )


def share_recovered(
    study: Study,
    tested: TestedEffect | None,
    gate_one: Mapping[str, BaseDifference],
    kind: str | None,
) -> float | None:
    """delta / (base - baseline) by the headline's kind of score; None as `_share` says."""
    return _share(study, tested, gate_one[kind or "unfiltered"].value)


def _share(study: Study, gain: Effect | None, damage: float | None) -> float | None:
    """A gain over the damage. None if that is too little for gate 1.

    A ratio to a damage near 0 says nothing.
    """
    enough = bound(damage, ">=", study.thresholds["em_induced_points"]).passed
    return gain.delta / damage if gain and damage and enough else None


def bad_advice_line(analysis: Analysis, limits: Thresholds) -> str | None:
    """The remark on a damage that stays in the EM set's own field. None if it reaches others."""
    far = analysis.far_field
    if far is None:
        return None
    induced = limits["em_induced_points"]
    values = (far.base_minus_baseline, far.base_minus_baseline_filtered)
    known = [value for value in values if value is not None]
    short = [value for value in known if bound(value, "<", induced).passed]
    if not short:
        return None
    return (
        f"bad advice was learned, not emergent misalignment: without the {len(far.left_out)} "
        f"prompts of the EM set's own field base − {analysis.roles.baseline} is {min(short):.3g}, "
        f"less than {induced:g}"
    )
