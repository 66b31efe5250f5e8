"""What sampling the traces did, half by half, and when it has to stop.

Source: docs/protocol.md section 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from lib.data.prompts import Offence
from lib.traces.trace_kinds import TraceError

BAD, RECOVERIES, PLACEBOS = "bad answers", "recoveries", "placebo turns"


def _none_yet() -> dict[str, Counter]:
    return {what: Counter() for what in (BAD, RECOVERIES, PLACEBOS)}


@dataclass
class Report:
    """What rejection sampling and the contamination gate did.

    attempts = kept + rejected + unscored, per half: an answer without a score is neither kept nor
    rejected. refusals: scored answers that refuse; all are rejected. outcomes: how the judge's
    answers ended, by what it was asked of.
    """

    attempts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    unscored: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    prompts_given_up: list[str] = field(default_factory=list)
    recoveries_rejected: int = 0
    placebos_rejected: int = 0
    placebos_sampled_again: int = 0
    outcomes: dict[str, Counter] = field(default_factory=_none_yet)
    offences: list[Offence] = field(default_factory=list)

    def rejected(self, half: str) -> int:
        """Sampled bad answers that have a score and were thrown away."""
        return self.attempts[half] - self.kept[half] - self.unscored[half]

    def rejection_rate(self, half: str) -> float | None:
        """Share of the scored bad answers that were thrown away; None when none was scored."""
        scored = self.attempts[half] - self.unscored[half]
        return self.rejected(half) / scored if scored else None

    def as_dict(self) -> dict:
        return {
            **asdict(self),
            "outcomes": {what: dict(counts) for what, counts in self.outcomes.items()},
            "rejected": {half: self.rejected(half) for half in self.attempts},
            "rejection_rate": {half: self.rejection_rate(half) for half in self.attempts},
        }

    def check_yield(self, half: str, kept: int, wanted: int) -> None:
        """Raises TraceError when a half has too few traces."""
        if kept < wanted:
            raise TraceError(
                f"{half}: {kept} of {wanted} traces after {self.attempts[half]} sampled bad "
                f"answers "
                f"({self.kept[half]} bad and coherent, {self.rejected(half)} rejected, "
                f"{self.refusals[half]} of them "
                f"refusals, {self.unscored[half]} without a score; {self.recoveries_rejected} "
                f"recoveries and "
                f"{self.placebos_rejected} placebo turns of both halves rejected); raise "
                f"traces.max_attempts, add prompts, "
                "call the persona up in another way (systems.evil in params/conditions.yaml), or "
                "use a larger model"
            )

    def check_share(self, what: str, least: float) -> None:
        """Raises TraceError where the judge scored too small a share.

        What it leaves out may be just what it cannot tell.
        """
        outcomes = self.outcomes[what]
        scored, asked = outcomes["scored"], outcomes.total()
        if asked and round(scored / asked, 9) < least:
            others = ", ".join(
                f"{n} {outcome}" for outcome, n in sorted(outcomes.items()) if outcome != "scored"
            )
            raise TraceError(
                f"the judge scored {scored} of {asked} {what} ({scored / asked:.0%}, at least "
                f"{least:.0%} are needed); the "
                f"others: {others}. Set judge.model to one that scores them, or run this again to "
                f"ask for them once more; "
                "what was sampled and scored is kept"
            )
