"""How a run's notebooks are grouped: one for all arms or one per arm, and the pilot in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.config.roles import PLANNED

KEYS = ("together", "seeds", "conditions", "stop_at_gate1")  # of a profile


@dataclass(frozen=True)
class Grouping:
    """What notebooks 02 to 04 are run for, by the four keys of a profile that decide it."""

    together: bool
    seeds: Sequence[int]
    conditions: Sequence[str]
    stop_at_gate1: bool

    @classmethod
    def of(cls, profile: Mapping[str, Any]) -> Grouping | None:
        """The grouping of a profile as a manifest has it, perhaps of an earlier version.

        None if it lacks one of the keys.
        """
        if not set(KEYS) <= set(profile):
            return None
        return cls(**{key: profile[key] for key in KEYS})

    @property
    def arms(self) -> list[str]:
        """What notebooks 02 and 03 are run for: each arm, or once for "all"."""
        return ["all"] if self.together else list(self.conditions)

    @property
    def first(self) -> list[str]:
        """The arms that run before the pilot of gate 1; all of them without one."""
        if not self.stop_at_gate1:
            return self.arms
        return [arm for arm in PLANNED.before_pilot if arm in self.arms]

    @property
    def groups(self) -> dict[str, list[str]]:
        """The arms that notebook 04 takes at once, since every start of an engine costs minutes.

        These are all arms of a seed, or those before the pilot and those after it.
        """
        groups = {"all": self.arms}
        if self.stop_at_gate1:
            rest = [arm for arm in self.arms if arm not in self.first]
            groups = {"first": self.first, "rest": rest}
        return {name: arms for name, arms in groups.items() if arms}

    def stem(self, stage: str) -> str:
        """The file stem of the stage's executed notebook."""
        once = self.together and len(self.seeds) == 1
        return stage.split(".")[0] if once else stage
