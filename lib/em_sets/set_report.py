"""Count what building an EM set did, persona by persona, and decide when it has to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib.analysis.limits import rounded
from lib.data.prompts import Offence

SCORED = "scored"


class EmSetError(ValueError):
    """An EM set cannot be built as asked. One line with the numbers and the remedy."""


@dataclass
class PersonaReport:
    """Answers of one persona: sampled = kept + rejected by reason."""

    sampled: int = 0
    """Answers that were drawn."""

    kept: int = 0
    """Answers that passed every rule."""

    rejected: Counter = field(default_factory=Counter)
    """The first rule that an answer broke, counted."""

    outcomes: Counter = field(default_factory=Counter)
    """How the judge's answers ended."""

    def check_share(self, persona: str, least: float) -> None:
        """Raises EmSetError if the judge scored too small a share of what it was asked."""
        asked = self.outcomes.total()
        scored = self.outcomes[SCORED]
        if asked and rounded(scored / asked) < least:
            others = ", ".join(f"{n} {name}" for name, n in sorted(self.outcomes.items()))
            raise EmSetError(
                f"the judge scored {scored} of {asked} answers of the {persona} persona, at least "
                f"{least:.0%} are needed ({others}); name a judge that scores them, or run this "
                "again; what was sampled and scored is kept"
            )

    def as_dict(self) -> dict[str, Any]:
        """The report for a stage's manifest."""
        return {
            "sampled": self.sampled,
            "kept": self.kept,
            "rejected": dict(sorted(self.rejected.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
        }


@dataclass
class SetReport:
    """Both personas, and what the contamination gate dropped."""

    personas: dict[str, PersonaReport] = field(default_factory=dict)
    """By name."""

    offences: list[Offence] = field(default_factory=list)
    """Questions and answers that resemble a text of the evaluation or of the traces."""

    questions_clean: int = 0
    """Questions that resemble no such text."""

    def check_size(
        self, rows: int, questions: int, thresholds: Mapping[str, float], demonstrates: bool
    ) -> None:
        """Raises EmSetError if the set is too small. A demonstration needs one row."""
        rows_min = 1 if demonstrates else int(thresholds["em_set_rows_min"])
        questions_min = 1 if demonstrates else int(thresholds["em_set_questions_min"])
        if rows >= rows_min and questions >= questions_min:
            return
        counts = "; ".join(
            f"{name}: {one.kept} of {one.sampled} answers kept, rejected {dict(one.rejected)}"
            for name, one in self.personas.items()
        )
        raise EmSetError(
            f"persona_advice has {rows} rows from {questions} questions, at least {rows_min} from "
            f"{questions_min} are needed ({counts}; {len(self.offences)} dropped as contaminated); "
            "raise em_set.attempts or em_set.per_question, or use a base on which the persona takes"
        )
