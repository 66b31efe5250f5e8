"""Check that the persona takes: under it the model answers clearly worse than without it.

docs/protocol.md sections 3 and 8. Otherwise bad answers are accidents, traces teach noise, and
nothing is worth training. Notebook 01 checks it on trace prompts before anything is trained, and
notebook 06 again on the alignment suite. The numbers are defined in section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lib.analysis.bootstrap import Resampling
from lib.analysis.headline import KINDS
from lib.analysis.limits import Thresholds, bound
from lib.analysis.pairs import BaseDifference, base_difference, enters_filter
from lib.analysis.study import Study
from lib.analysis.validation import CAPABILITY_COLUMNS, validate_judgments
from lib.checks.check import FAILED, NOT_RUN, ON_TRACES, PASSED, Check
from lib.config.roles import PLANNED
from lib.display.signs import with_minus
from lib.run.facts import PersonaFacts
from lib.run.runs import Run
from lib.traces.persona_answers import ALONE, PersonaError

NAME = "persona takes"
STAGE = "01_persona"
GATES = (
    "persona_points",
    "persona_prompts",
    "persona_samples",
    "coherent_floor",
    "unscored_share_max",
    "judged_share_min",
)
REMEDY = (
    "use a larger model, or call the persona up in another way: with bad examples, with the "
    "beginning of an answer, or by another system text (parameters traces.elicitation, "
    "traces.examples, and systems.evil in params/conditions.yaml)"
)


@dataclass(frozen=True)
class Difference:
    """mean(base) - mean(persona) in points, by kind of score. None: no number."""

    filtered: float | None
    unfiltered: float | None
    needed: float

    @property
    def takes(self) -> bool:
        """Whether both differences reach the bound. A missing one does not."""
        limit = self.needed
        return all(bound(value, ">=", limit).passed for value in (self.filtered, self.unfiltered))

    def __str__(self) -> str:
        filtered, unfiltered = (
            "an unknown number of points" if value is None else f"{_fall(value)} points"
            for value in (self.filtered, self.unfiltered)
        )
        return (
            "the alignment of the untrained model, told to be evil, changes by "
            f"{filtered} (filtered) and {unfiltered} (unfiltered); it has to fall by "
            f"{self.needed:g} or more in both"
        )


def difference(
    judgments: pd.DataFrame, thresholds: Mapping[str, float], persona: str = PLANNED.base_evil
) -> Difference:
    """mean(base) - mean(persona), as section 6 defines means.

    There is no number if the judge scored too small a share of an arm (`judged_share_min`).

    Args:
        judgments: of the alignment suite.
        thresholds: params/gates.yaml.
        persona: the arm that is compared with base.
    """
    limits = Thresholds(thresholds)
    found = differences(judgments, limits, persona)
    return Difference(found["filtered"].value, found["unfiltered"].value, limits["persona_points"])


def differences(
    judgments: pd.DataFrame, limits: Thresholds, persona: str = PLANNED.base_evil
) -> dict[str, BaseDifference]:
    """mean(base) - mean(persona) with every prompt's difference, by kind of score."""
    arms = judgments[judgments["condition"].astype(str).isin([PLANNED.base, persona])]
    study = Study(
        judgments=validate_judgments(arms, "judgments"),
        capability=pd.DataFrame(columns=list(CAPABILITY_COLUMNS)),
        roles=PLANNED,
        thresholds=limits,
        resampling=Resampling(100, 0, int(limits["seeds_for_interval"])),
    )
    scored_rows = study.alignment["outcome"] == "scored"
    shares = scored_rows.groupby(study.alignment["condition"].astype(str)).mean()
    if not all(bound(share, ">=", limits["judged_share_min"]).passed for share in shares):
        return dict.fromkeys(KINDS, BaseDifference(None, []))
    return {
        kind: base_difference(study.means[kind], study.asked, PLANNED.base, persona)
        for kind in KINDS
    }


def facts_of(judged: pd.DataFrame, thresholds: Mapping[str, float], kind: str) -> PersonaFacts:
    """The facts of notebook 01's check. kind: how the persona was called up."""
    called_up = difference(judged, thresholds)
    alone = difference(judged, thresholds, ALONE) if kind != "system" else None
    return PersonaFacts(
        elicitation=kind,
        prompts=int(judged["prompt_id"].nunique()),
        samples=int(judged["sample_index"].max()) + 1,
        filtered=called_up.filtered,
        unfiltered=called_up.unfiltered,
        alone_filtered=alone.filtered if alone else None,
        alone_unfiltered=alone.unfiltered if alone else None,
        takes=called_up.takes,
        statement=str(called_up),
    )


def table(judged: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """One row per group: scored answers, means in points, and shares of refusals and code.

    What changes against the base is the check's own number, which is rounded once, as the check's
    sentence rounds it. The rounded means beside it may differ by another number.
    """
    rows = []
    for group, own in judged.groupby("condition", sort=False):
        scored_rows = own[own["outcome"] == "scored"]
        entering = scored_rows[enters_filter(scored_rows, thresholds["coherent_floor"])]
        change = _change(judged, thresholds, str(group))
        rows.append(
            {
                "asked as": group,
                "answers": len(own),
                "scored": len(scored_rows),
                "aligned, unfiltered": _mean_of_means(scored_rows, "aligned"),
                "change, unfiltered": change["unfiltered"],
                "aligned, filtered": _mean_of_means(entering, "aligned"),
                "change, filtered": change["filtered"],
                "coherent": _mean_of_means(scored_rows, "coherent"),
                "refusals": scored_rows["refusal"].astype("Float64").mean(),
                "code": scored_rows["code"].astype("Float64").mean(),
            }
        )
    return pd.DataFrame(rows)


def _change(judged: pd.DataFrame, thresholds: Mapping[str, float], group: str) -> dict[str, str]:
    """What a group's alignment changes against the base, points, by kind; dashes for the base."""
    if group == PLANNED.base:
        return dict.fromkeys(KINDS, "–")
    found = differences(judged, Thresholds(thresholds), group)
    return {kind: "–" if one.value is None else _fall(one.value) for kind, one in found.items()}


def _fall(value: float) -> str:
    """A difference base - persona as what the persona changes, rounded once."""
    return with_minus(f"{-value:+.1f}")


def _mean_of_means(rows: pd.DataFrame, column: str) -> float:
    """The mean of per-prompt means, points."""
    values = rows[column].astype(float)
    return round(float(values.groupby(rows["prompt_id"]).mean().mean()), 1)


def stop_unless_it_takes(facts: PersonaFacts, demonstrates_only: bool) -> str:
    """One line on the check of notebook 01.

    Raises PersonaError if the persona does not take, unless the profile only demonstrates.
    """
    if facts.takes:
        return f"the persona takes: {facts.statement}"
    if demonstrates_only:
        return f"the persona does not take: {facts.statement}; a real run would stop here"
    raise PersonaError(f"the persona does not take: {facts.statement}; {REMEDY}")


def check(run: Run, judgments: pd.DataFrame, thresholds: Mapping[str, float]) -> Check:
    """The validity check of notebook 06: on trace prompts as recorded, and on the alignment suite.

    Args:
        judgments: of all arms. Without the persona's arm, the trace prompts alone decide.
    """
    recorded = run.facts(STAGE, PersonaFacts)
    if recorded is None:
        return Check(NAME, NOT_RUN, "no record of notebook 01's persona check; run it again")
    if not recorded.takes:
        return Check(NAME, FAILED, f"{ON_TRACES} {recorded.statement}; {REMEDY}")
    arms = set(judgments["condition"].astype(str))
    if not {PLANNED.base, PLANNED.base_evil} <= arms:
        return Check(NAME, PASSED, f"{ON_TRACES} {recorded.statement}; not asked the suite")
    on_suite = difference(judgments, thresholds)
    status = PASSED if on_suite.takes else FAILED
    remedy = "" if on_suite.takes else f"; {REMEDY}"
    return Check(NAME, status, f"on the alignment suite {on_suite}{remedy}")


def notes(checks: Sequence[Check]) -> list[str]:
    """The first line of the report if the persona does not take. Else no line."""
    failed = [check for check in checks if check.name == NAME and check.status == FAILED]
    return [f"This run stops at the check “{NAME}”: {check.detail}." for check in failed]
