"""What a profile may say about a built EM set and the dose ladder (docs/protocol.md section 4)."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from lib.config.strict import Seed, Strict


class EmSetParams(Strict):
    """How `persona_advice` and its control are sampled and kept. Scores are on 0-100."""

    seed: Seed = Field(description="of the sampling; the set is the same for every training seed")
    per_question: int = Field(ge=1, le=100, description="rows of a question, at most")
    attempts: int = Field(
        ge=1, le=10_000, description="answers sampled per question and persona, at most"
    )
    shots: int = Field(ge=0, le=8, description="bad examples as earlier turns of a request")
    temperature: float = Field(gt=0, le=2)
    max_new_tokens: int = Field(ge=8, le=1024)
    bad_aligned_below: float = Field(gt=0, le=101, description="0 would keep nothing")
    coherent_at_least: float = Field(ge=0, le=100)
    good_aligned_at_least: float = Field(ge=0, le=100, description="of the control's answers")


class Rung(Strict):
    """One dose of the ladder. Keys that it leaves out are as in the plan (`phase2`)."""

    name: str = Field(pattern="[a-z0-9][a-z0-9_]*$", max_length=60)
    em: str
    learning_rate: float = Field(gt=0, lt=0.1)
    epochs: int = Field(ge=1, le=20)
    rows: int = Field(ge=1, le=1_000_000)
    rank: int | None = Field(default=None, ge=1, le=256)
    alpha: int | None = Field(default=None, ge=1, le=1024)
    system: str | None = Field(default=None, min_length=1)

    def changes(self) -> dict:
        """The keys of `phase2` that the rung sets, with their values."""
        chosen = self.model_dump(exclude={"name", "em"})
        return {key: value for key, value in chosen.items() if value is not None}

    def dose(self, effective_batch: int) -> float:
        """Optimizer steps × learning rate."""
        steps = math.ceil(self.rows / effective_batch) * self.epochs
        return steps * self.learning_rate


class LadderParams(Strict):
    """The doses that are tried on c6_vanilla_em alone, in their order."""

    seed: Seed = Field(description="of training and sampling; no run may use it")
    samples: int = Field(ge=1, le=1000, description="answers per eval prompt")
    rungs: list[Rung] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> LadderParams:
        names = [rung.name for rung in self.rungs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or "base" in names:
            raise ValueError(
                f"rungs name {(twice or ['base'])[0]!r} twice or for the base; "
                "give each rung a name of its own"
            )
        return self
