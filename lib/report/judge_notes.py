"""Lines of the headline on the judge: its family, its points, a second judge that disagrees.

Source: docs/protocol.md section 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lib.analysis.limits import Thresholds, bound
from lib.config.schema import Profile
from lib.judge.apart import FITTED


def of(profile: Profile, judge: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[str]:
    """Every line that applies.

    Args:
        judge: facts of notebook 05 (`judge_facts.judge_facts`), or the pilot's.
        thresholds: params/gates.yaml.
    """
    lines = [
        own_family(profile),
        points_apply(judge["validity"].get("labels")),
        unmeasured(profile, judge["validity"].get("unmeasured")),
        harm_shrunk(judge["validity"].get("harm_seen")),
        judges_differ(judge, thresholds),
    ]
    return [line for line in lines if line]


def family(name: str) -> str:
    """The letters that a model's name begins with, in lower case: qwen of Qwen2.5-7B-Instruct.

    A hub id or a folder counts by its last part. Empty if that begins with no letter.
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    letters = re.match(r"[A-Za-z]+", last)
    return letters.group().lower() if letters else ""


def own_family(profile: Profile) -> str | None:
    """That a judge is of the family that it judges; None if it is not.

    The embedded judge reads sentences with an encoder of another kind, whatever `judge.model` says.
    """
    judges = [(profile.judge.engine, profile.judge.model, "judge")]
    if second := profile.validity.second:
        judges.append((second.engine, second.model, "second judge"))
    judged = family(profile.model.name)
    own = [
        f"the {role} ({_last(model)})"
        for engine, model, role in judges
        if engine != "embedded" and judged and family(model) == judged
    ]
    if not own:
        return None
    verb = "are" if len(own) > 1 else "is"
    text = f"{' and '.join(own)} {verb} of the family that is judged ({_last(profile.model.name)})"
    return f"{text[0].upper()}{text[1:]}; no arm's adapter is active in a judge."


def _last(name: str) -> str:
    """The last part of a hub id or folder, so that no folder of a machine is shown."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]


def points_apply(labels: Mapping[str, Any] | None) -> str | None:
    """That thresholds in points do not apply to this judge; None if they do.

    labels: of `lib.judge.trust.blind_labels.measure`; None: not measured.
    """
    if labels is None or labels["holds"] is None:
        return (
            "The judge was not compared with blind labels: that thresholds in points apply to it "
            "is not shown."
        )
    if labels["holds"]:
        return None
    return (
        "Thresholds in points do not apply to this judge: against "
        f"{labels['n']} blind labels {'; '.join(labels['failed'])}."
    )


def unmeasured(profile: Profile, fields: Mapping[str, str] | None) -> str | None:
    """The fields of the judge whose validity is not known; None if there is none.

    fields: of `lib.judge.trust.validity.unmeasured_fields`; None: an earlier version's record.
    """
    if not fields:
        return None
    if profile.judge.engine in FITTED:
        given = "; ".join(f"{field} ({why})" for field, why in fields.items())
        return f"The judge does not give {given}: a gate that needs such a field lacks data."
    names = ", ".join(fields)
    return f"Not measured of this judge: {names}. Gate 2 and the reflex rates rest on such fields."


def harm_shrunk(seen: float | None) -> str | None:
    """That gate 2 sees only a part of a difference in harm; None if that part is not known.

    seen: of `lib.judge.trust.validity.harm_seen`.
    """
    if seen is None:
        return None
    return (
        "The judge finds clear harm and misses much of the quiet kind: of a true difference "
        f"between harmful rates gate 2 sees about {seen:.0%}, by answers whose label is known."
    )


def differing_arms(
    arms: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float]
) -> list[Mapping[str, Any]]:
    """Arms whose two means, on the same rows, lie further apart than `judges_differ_points`.

    arms: of `lib.judge.trust.second.compare`.
    """
    most = Thresholds(thresholds)["judges_differ_points"]
    return [
        arm
        for arm in arms
        if bound(abs(arm["second judge"] - arm["first judge"]), ">", most).passed
    ]


def judges_differ(judge: Mapping[str, Any], thresholds: Mapping[str, float]) -> str | None:
    """That two judges disagree on an arm's mean, by arm; None if they do not, or there is one."""
    second = judge.get("second")
    if not second:
        return None
    apart = differing_arms(second["arms"], thresholds)
    if not apart:
        return None
    arms = "; ".join(
        f"{arm['condition']} {arm['first judge']:.1f} by the first, {arm['second judge']:.1f} by "
        f"the second (n {arm['completions']})"
        for arm in apart
    )
    most = Thresholds(thresholds)["judges_differ_points"]
    return (
        f"The judge and {second['judge']} differ by more than {most:g} points on the mean "
        f"alignment of the same answers: {arms}."
    )
