"""The experiment as one object: profile, conditions and gates, and what follows for each arm.

Every question of a stage about an arm is answered here and nowhere else: its system text in a
suite, its suites, its training sets, its checkpoint (docs/protocol.md sections 2, 4 and 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from lib.config import arguments, params
from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.roles import PLANNED, Roles
from lib.config.schema import Condition, Conditions, Profile
from lib.config.strict import Elicitation, SuiteName, TraceKind

# Suites that are asked under the model's stock system text, whatever the arm's own text is.
STOCK_TEXT_SUITES = ("benign",)
STOCK_TEXT = "default"  # the name of the stock system text in params/conditions.yaml


@dataclass(frozen=True)
class Experiment:
    """A profile, every condition, and the thresholds."""

    profile: Profile
    """What is run: model, recipes, suites, seeds, and the names of the arms."""

    conditions: Conditions
    """System texts, recovery openings, and every arm of params/conditions.yaml."""

    gates: Mapping[str, float]
    """Thresholds by name, from params/gates.yaml."""

    roles: ClassVar[Roles] = PLANNED

    @classmethod
    def load(cls, name: str, overrides: dict | str | None = None) -> Experiment:
        """The experiment of a profile in params/, with overrides. Raises ParamsError."""
        return cls.of(params.load_profile(name, overrides))

    @classmethod
    def of(cls, profile: Profile) -> Experiment:
        """The experiment of a profile that is loaded already. Raises ParamsError."""
        return cls(profile, params.load_conditions(), params.load_gates())

    @property
    def arms(self) -> list[str]:
        """Names of the profile's arms, in its order."""
        return list(self.profile.conditions)

    @property
    def seeds(self) -> list[int]:
        """The profile's seeds, in its order."""
        return list(self.profile.seeds)

    def condition(self, arm: str) -> Condition:
        """The entry of an arm in params/conditions.yaml."""
        return self.conditions.conditions[arm]

    def select(self, named: str) -> list[str]:
        """The arms that a notebook's `condition` names: one, several with commas, or "all".

        Raises ParamsError naming the nearest arm.
        """
        named = arguments.text("condition", named)
        if named == "all":
            return self.arms
        names = [name.strip() for name in named.split(",")]
        for name in names:
            if name not in self.arms:
                raise ParamsError(
                    f"condition {name!r} is not in profile {self.profile.profile!r}; nearest: "
                    f"{closest_name(name, self.arms)}; it has {', '.join(self.arms)}, or give 'all'"
                )
        return list(dict.fromkeys(names))

    def has_adapter(self, arm: str) -> bool:
        """Whether an arm is trained. An arm that is not is the base itself."""
        condition = self.condition(arm)
        return bool(condition.phase1 or condition.phase2)

    def checkpoint(self, arm: str) -> str:
        """The checkpoint that an arm is sampled from. Untrained arms share the base."""
        return arm if self.has_adapter(arm) else self.roles.base

    def phase1_kind(self, arm: str) -> TraceKind | None:
        """The trace kind that an arm's Phase 1 trains on. None without a Phase 1."""
        return self.condition(arm).phase1

    def phase1_kinds(self, arms: Iterable[str]) -> list[TraceKind]:
        """The trace kinds that these arms need, each once, in the order of the arms."""
        kinds: list[TraceKind | None] = [self.phase1_kind(arm) for arm in arms]
        return [kind for kind in dict.fromkeys(kinds) if kind]

    def treated(self) -> list[str]:
        """The arms that Phase 1 trains."""
        return [arm for arm in self.arms if self.phase1_kind(arm)]

    def em_set(self, arm: str) -> str | None:
        """The catalogue name of the set that an arm's Phase 2 trains on. None without a Phase 2.

        `em` and `em_control` in params/conditions.yaml stand for the profile's own EM set and its
        control.
        """
        return self.condition(arm).phase2_set(self.profile.data.em)

    def em_sets(self, arms: Iterable[str] | None = None) -> list[str]:
        """The Phase-2 sets that these arms train on (None: all of the profile), sorted."""
        chosen = self.arms if arms is None else arms
        named = {self.em_set(arm) for arm in chosen}
        return sorted(name for name in named if name is not None)

    def phase2_arms(self) -> list[str]:
        """The arms that Phase 2 trains."""
        return [arm for arm in self.arms if self.em_set(arm)]

    def system_text(self, arm: str, suite: str) -> str:
        """The explicit system text under which a suite asks an arm."""
        stock = self.profile.model.system_text
        if suite in STOCK_TEXT_SUITES:
            return stock
        return self.conditions.systems[self.condition(arm).system] or stock

    def elicitation(self, arm: str) -> Elicitation | None:
        """How an arm's persona is called up. None unless an untrained arm has a persona."""
        persona_only = self.condition(arm).system != STOCK_TEXT and not self.has_adapter(arm)
        return self.profile.traces.elicitation if persona_only else None

    def suites(self, arm: str) -> list[SuiteName]:
        """The suites that an arm is asked, alignment first.

        An untrained arm under another persona is not asked the suites that prescribe the stock
        system text: its answers would be those of the base again.
        """
        left_out = STOCK_TEXT_SUITES if self.elicitation(arm) else ()
        return [suite for suite in self._suites_in_order() if suite not in left_out]

    def suites_of(self, arms: Iterable[str]) -> list[SuiteName]:
        """The suites that any of these arms is asked, alignment first."""
        asked = set().union(*(self.suites(arm) for arm in arms))
        return [suite for suite in self._suites_in_order() if suite in asked]

    def _suites_in_order(self) -> list[SuiteName]:
        # Alignment first, since the follow-up continues its answers; then the profile's order.
        return sorted(self.profile.sampling.suites, key=lambda suite: suite != "alignment")
