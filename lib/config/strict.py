"""What all schemas share: the strict base, and the types that several of them use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.config.arguments import SEEDS

TraceKind = Literal["selfcorrect", "random_recovery", "placebo_assistant"]
SuiteName = Literal["alignment", "benign", "followup", "betley_48", "training_cues"]
Elicitation = Literal["system", "few_shot", "prefill"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]


class Strict(BaseModel):
    """Refuses unknown keys, other types, NaN and later changes. Nothing has a default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def no_flag(value: Any) -> Any:
    """Refuse true, which pydantic would otherwise accept for a literal 1."""
    if isinstance(value, bool):
        raise ValueError("give a number, not true or false")
    return value
