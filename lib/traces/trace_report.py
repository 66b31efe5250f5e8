"""Count what sampling the traces did, half by half, and decide when it has to stop.

Source: docs/protocol.md section 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from lib.data.prompts import Offence
from lib.traces.trace_kinds import TraceError

BAD = "bad answers"
RECOVERIES = "recoveries"
PLACEBOS = "placebo turns"


def _none_yet() -> dict[str, Counter]:
    """No outcome of any kind of answer."""
    return {what: Counter() for what in (BAD, RECOVERIES, PLACEBOS)}


@dataclass
class Report:
    """What rejection sampling and the contamination gate did.

    Per half, attempts = kept + rejected + unscored: an answer without a score is neither kept nor
    rejected.
    """

    attempts: dict[str, int] = field(default_factory=dict)
    """Bad answers that were sampled, by half."""

    kept: dict[str, int] = field(default_factory=dict)
    """Those that were bad and coherent, by half."""

    unscored: dict[str, int] = field(default_factory=dict)
    """Those that the judge did not score, by half."""

    refusals: dict[str, int] = field(default_factory=dict)
    """Those that have a score and refuse, by half; all are rejected."""

    prompts_given_up: list[str] = field(default_factory=list)
    """Prompts without a bad answer after all attempts."""

    recoveries_rejected: int = 0
    """Recoveries that have a score and were thrown away."""

    placebos_rejected: int = 0
    """Placebo turns that have a score and were thrown away."""

    placebos_sampled_again: int = 0
    """Placebos that were sampled again because they were short."""

    outcomes: dict[str, Counter] = field(default_factory=_none_yet)
    """How the judge's answers ended, by what it was asked about."""

    offences: list[Offence] = field(default_factory=list)
    """Texts that spell a special token or resemble an eval prompt."""

    def begin(self, half: str) -> None:
        """Sets the counts of a half to 0."""
        for counts in (self.attempts, self.kept, self.unscored, self.refusals):
            counts[half] = 0

    def rejected(self, half: str) -> int:
        """Sampled bad answers that have a score and were thrown away."""
        return self.attempts[half] - self.kept[half] - self.unscored[half]

    def rejection_rate(self, half: str) -> float | None:
        """Share of the scored bad answers that were thrown away; None if none was scored."""
        scored = self.attempts[half] - self.unscored[half]
        return self.rejected(half) / scored if scored else None

    def as_dict(self) -> dict:
        """The report for a stage's manifest."""
        return {
            **asdict(self),
            "outcomes": {what: dict(counts) for what, counts in self.outcomes.items()},
            "rejected": {half: self.rejected(half) for half in self.attempts},
            "rejection_rate": {half: self.rejection_rate(half) for half in self.attempts},
        }

    def check_yield(self, half: str, kept: int, wanted: int) -> None:
        """Raises TraceError if a half has too few traces."""
        if kept < wanted:
            raise TraceError(
                f"{half}: {kept} of {wanted} traces after {self.attempts[half]} sampled bad "
                f"answers ({self.kept[half]} bad and coherent, {self.rejected(half)} rejected, "
                f"{self.refusals[half]} of them refusals, {self.unscored[half]} without a score; "
                f"{self.recoveries_rejected} recoveries and {self.placebos_rejected} placebo turns "
                "of both halves rejected); raise traces.max_attempts, add prompts, call the "
                "persona up in another way (traces.elicitation, or systems.evil in "
                "params/conditions.yaml), or use a larger model"
            )

    def check_share(self, what: str, least: float) -> None:
        """Raises TraceError if the judge scored too small a share of one kind of answer.

        It may have left out exactly the answers that it cannot judge.
        """
        outcomes = self.outcomes[what]
        scored = outcomes["scored"]
        asked = outcomes.total()
        if asked and round(scored / asked, 9) < least:
            others = ", ".join(
                f"{count} {outcome}"
                for outcome, count in sorted(outcomes.items())
                if outcome != "scored"
            )
            raise TraceError(
                f"the judge scored {scored} of {asked} {what} ({scored / asked:.0%}, at least "
                f"{least:.0%} are needed); the others: {others}. Set judge.model to one that "
                "scores them, or run this again to ask for them once more; what was sampled and "
                "scored is kept"
            )
