"""What a profile and the conditions may say: names, types and ranges, checked together.

Nothing here has a default that a profile could silently inherit: what a run did is what its YAML
says.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from lib.config.doses import EmSetParams, LadderParams
from lib.config.measurement import (
    CapabilityParams,
    JudgeParams,
    SamplingParams,
    StatsParams,
    ValidityParams,
)
from lib.config.recipes import (
    DataParams,
    ModelParams,
    Phase2Params,
    PhaseParams,
    TracesParams,
    TrainingParams,
)
from lib.config.roles import PLANNED
from lib.config.strict import Seed, Strict, TraceKind


class Condition(Strict):
    """One arm: its Phase-1 traces, its Phase-2 set, and its system text at evaluation.

    `em` as the Phase-2 set stands for the profile's own EM set, `em_control` for the set that is
    named after it with `_control`: good answers to the same questions.
    """

    why: str
    phase1: TraceKind | None
    phase2: str | None
    system: str

    def phase2_set(self, own: str) -> str | None:
        """The chat set of Phase 2, where `own` is the profile's EM set. None without a Phase 2."""
        return {"em": own, "em_control": f"{own}_control"}.get(self.phase2 or "", self.phase2)


class Profile(Strict):
    """One file params/<name>.yaml: everything that a run of it does."""

    profile: str
    about: str
    demonstrates_only: bool = Field(
        description="the report's headline then claims the pipeline, never EM"
    )
    seeds: list[Seed] = Field(min_length=1)
    together: bool = Field(description="one kernel and one base load for all arms in 02 to 04")
    stop_at_gate1: bool
    conditions: list[str] = Field(min_length=1)
    model: ModelParams
    data: DataParams
    traces: TracesParams
    phase1: PhaseParams
    phase2: Phase2Params
    em_set: EmSetParams | None = Field(description="null where no EM set is built for the run")
    ladder: LadderParams | None = Field(description="null: Phase 2 has the dose of `phase2`")
    training: TrainingParams
    sampling: SamplingParams
    capability: CapabilityParams
    judge: JudgeParams
    validity: ValidityParams
    stats: StatsParams

    @model_validator(mode="after")
    def _unique(self) -> Profile:
        for key in ("seeds", "conditions"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} {values} has a value twice; name each once")
        return self

    @model_validator(mode="after")
    def _pilot_arms_run_alone(self) -> Profile:
        if self.stop_at_gate1 and self.together:
            raise ValueError(
                "stop_at_gate1 and together are both true; the pilot's arms run first, "
                "set together to false"
            )
        if self.stop_at_gate1 and not set(PLANNED.pilot) <= set(self.conditions):
            needed = " and ".join(PLANNED.pilot)
            raise ValueError(f"stop_at_gate1 needs the arms {needed}; add them to conditions")
        return self


class Conditions(Strict):
    """params/conditions.yaml: system texts by name, the recovery's openings, and the arms."""

    systems: dict[str, str | None]
    openings: list[str] = Field(min_length=6, max_length=6)
    follow_up: str = Field(min_length=1)
    conditions: dict[str, Condition]

    @property
    def evil_system(self) -> str:
        """The system text of the evil persona, which is never blank."""
        return self.systems["evil"] or ""

    @model_validator(mode="after")
    def _personas_are_there(self) -> Conditions:
        if self.systems.get("default", "") is not None:
            raise ValueError(
                "systems.default is not null; it stands for the base model's stock system text, "
                "set it to null"
            )
        if not (self.systems.get("evil") or "").strip():
            raise ValueError(
                "systems.evil has no text; the traces need an evil persona, give it one"
            )
        for name, text in self.systems.items():
            if text is not None and not text.strip():
                raise ValueError(f"systems.{name} is blank; give it a text")
        return self
