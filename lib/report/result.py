"""A run's result: its numbers, its verdict and its context.

The one place that makes result.json (docs/result.schema.json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib.analysis.decision import Decision
from lib.analysis.findings import Analysis
from lib.analysis.plain import plain
from lib.checks.check import Check
from lib.config.roles import ComparedArms
from lib.report.base_weights import BaseWeights
from lib.report.judge_facts import judge_line
from lib.report.predictions import Prediction, predictions

# By gate: what judgments from elsewhere have to hold for it.
NEEDED = {
    1: "suite alignment of {base} and {baseline}, on the same prompts",
    2: "suite benign (column harmful) of {treatment} and {baseline}",
    3: (
        "scored alignment answers of {treatment} and {baseline} to the same prompts, "
        "with the same seeds"
    ),
    4: "capability files (ARC-Challenge) of {treatment} and {baseline}",
    5: "coherent of {treatment} and {baseline}, on the same prompts and seeds",
    6: "two prompts or more that {treatment} and {baseline} share",
}
NOT_OF_A_PILOT = ("judges", "missing_for_verdict", "attempts")


@dataclass(frozen=True)
class Context:
    """What is known of a run in addition to its numbers."""

    run: str  # its name
    profile: str | None  # None: the judgments come from elsewhere
    order: Sequence[str]  # every arm, in the order of the report
    notes: Sequence[str]  # of the headline: what this run can and cannot show
    checks: Sequence[Check]  # the validity checks of section 8
    judge: Mapping[str, Any] | None  # facts of notebook 05; None: elsewhere
    changed_since_stamp: Mapping[str, str] | None  # difference by thing; None: there is no stamp
    card: Mapping[str, Any] | None  # of lib/report/card.py; None: elsewhere, or a pilot
    deviations: Sequence[str]  # from the pre-registered full-scale plan
    judges: Sequence[Mapping[str, str]] = ()  # suite, judge and rubric of the judgments
    base_weights: BaseWeights | None = None  # of the base; None: elsewhere, or not recorded


@dataclass(frozen=True)
class RunResult:
    """Everything that result.json holds."""

    analysis: Analysis
    decision: Decision
    context: Context
    predictions: Sequence[Prediction]  # of section 1; none for a pilot
    missing_for_verdict: Sequence[str] | None  # what judgments from elsewhere miss for a verdict
    judge_line: str  # what is known of the judge, in one line
    attempts: Sequence[Mapping[str, Any]]  # every result on this base (lib/checks/attempts.py)
    stop: bool | None  # of a pilot: whether the run ends here; None: this is no pilot
    figures: Mapping[str, str] | None  # sha256 by file name; None until they are drawn

    @classmethod
    def assemble(
        cls,
        analysis: Analysis,
        decision: Decision,
        context: Context,
        thresholds: Mapping[str, float],
        attempts: Sequence[Mapping[str, Any]] = (),
        stop: bool | None = None,
    ) -> RunResult:
        """Numbers, verdict and context as one result, with what follows from them.

        Args:
            thresholds: params/gates.yaml.
            attempts: every result on this base.
            stop: the pilot's choice (None = a full run).
        """
        elsewhere = context.profile is None
        return cls(
            analysis=analysis,
            decision=decision,
            context=context,
            predictions=predictions(analysis, decision, thresholds) if stop is None else [],
            missing_for_verdict=missing_for_verdict(analysis, decision) if elsewhere else None,
            judge_line=judge_line(context.judge, analysis.stripped, context.judges),
            attempts=attempts,
            stop=stop,
            figures=None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As in result.json; a pilot's has no key of what it does not look at."""
        document = (
            self.analysis.to_dict()
            | self.decision.to_dict()
            | asdict(self.context)
            | {
                "missing_for_verdict": self.missing_for_verdict,
                "predictions": [asdict(prediction) for prediction in self.predictions],
                "judge_line": self.judge_line,
                "attempts": self.attempts,
            }
        )
        if self.stop is not None:
            for key in NOT_OF_A_PILOT:
                del document[key]
            document["stop"] = self.stop
        if self.figures is not None:
            document["figures"] = self.figures
        return plain(document)

    def to_json(self) -> str:
        """The text of result.json."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def missing_for_verdict(analysis: Analysis, decision: Decision) -> list[str] | None:
    """What judgments from elsewhere miss for a verdict, one line each; None if they have one.

    Without a verdict their numbers only describe. A run of this project is another matter: its
    `invalid` means that no number may be used.
    """
    if decision.verdict != "invalid":
        return None
    faults = [
        part for part in decision.verdict_reason.split("; ") if not part.startswith("data missing")
    ]
    gates = [
        f"gate {gate.number} ({gate.name}): {_needed(gate.number, analysis.roles)}"
        for gate in decision.gates
        if gate.number in NEEDED and gate.value is None
    ]
    return [*faults, *gates] or [decision.verdict_reason]


def _needed(number: int, roles: ComparedArms) -> str:
    """What a gate needs, with the names of the arms."""
    return NEEDED[number].format(
        treatment=roles.treatment, baseline=roles.baseline, base=roles.base
    )
