"""The roles of the planned comparison, and the arms that play them (docs/protocol.md section 2).

The one place in `lib` where the names of the planned arms are written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ComparedArms:
    """Which arm plays which part in a comparison. The defaults are the pre-registered one."""

    treatment: str = "selfcorrect_em"  # Phase 2 on top of the reflex; its gain is tested
    baseline: str = "c6_vanilla_em"  # Phase 2 alone: what an undefended model becomes
    base: str = "base"  # the untrained model under its stock system text
    controls: Sequence[str] = ("random_recovery_em", "placebo_assistant_em")  # never tested


@dataclass(frozen=True)
class Roles(ComparedArms):
    """Which arm of params/conditions.yaml plays which role in the experiment."""

    base_evil: str = "base_evil"  # the untrained model under the evil persona
    habit_only: str = "selfcorrect_only"  # the reflex, and no bad data after it
    set_control: str = "c6_control"  # Phase 2 on good answers to the EM set's own questions

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


PLANNED = Roles()
