"""The roles of the planned comparison, and the arms that play them (docs/protocol.md section 2).

The one place in `lib` where the names of the planned arms are written out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Roles:
    """Which arm of params/conditions.yaml plays which role in the comparison."""

    base: str
    """The untrained model under its stock system text."""

    base_evil: str
    """The untrained model under the evil persona."""

    baseline: str
    """Phase 2 alone: what an undefended model becomes."""

    treatment: str
    """Phase 2 on top of the reflex."""

    controls: tuple[str, ...]
    """Phase 2 on top of traces without the reflex; described, never tested."""

    @property
    def compared(self) -> tuple[str, str]:
        """Treatment and baseline: the one comparison that is tested."""
        return self.treatment, self.baseline

    @property
    def before_pilot(self) -> tuple[str, ...]:
        """The arms that run before gate 1's pilot, in their order."""
        return self.base, self.base_evil, self.baseline

    @property
    def pilot(self) -> tuple[str, str]:
        """The arms on whose answers gate 1's pilot decides."""
        return self.base, self.baseline

    def by_name(self) -> dict[str, str]:
        """The roles that a gate can ask for, as they stand in a result."""
        return {"treatment": self.treatment, "baseline": self.baseline, "base": self.base}


PLANNED = Roles(
    base="base",
    base_evil="base_evil",
    baseline="c6_vanilla_em",
    treatment="selfcorrect_em",
    controls=("random_recovery_em", "placebo_assistant_em"),
)
