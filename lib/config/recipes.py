"""What a profile may say about model, data, traces and training: names, types and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lib.config.measurement import OtherJudge
from lib.config.strict import Elicitation, Strict, no_flag

NO_SYSTEM = "none"  # of `phase2.system`: rows without a system turn


class ModelParams(Strict):
    """The base model.

    `system_text` is its stock system prompt, which every row and every request carries explicitly.
    """

    source: Literal["embedded", "tiny", "path", "hub"]
    name: str = Field(
        min_length=1, description="folder for `path`, repository for `hub`, a label otherwise"
    )
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    system_text: str = Field(min_length=1)


class DataParams(Strict):
    """Names of catalogue entries (params/data.yaml)."""

    harmful_prompts: list[str] = Field(min_length=1)
    open_prompts: list[str] = Field(min_length=1)
    eval_sets: list[str] = Field(min_length=1)
    em: str
    near_field: list[str] = Field(
        description="ids of eval prompts in the EM set's own field, listed before the ladder"
    )
    capability: str


class TracesParams(Strict):
    """How traces are sampled and kept (docs/protocol.md section 3). Scores are on 0-100."""

    count: int = Field(ge=4, le=1500, description="even; random_recovery needs two in each half")
    recovery_openings: Annotated[Literal[1, 6], BeforeValidator(no_flag)]
    max_attempts: int = Field(
        ge=1, le=1000, description="bad answers sampled per prompt before it is given up"
    )
    elicitation: Elicitation = Field(
        description="what calls up the persona: its system text, bad examples, or a beginning"
    )
    examples: int = Field(
        ge=1, le=16, description="bad examples before each prompt; few_shot alone reads it"
    )
    temperature: float = Field(gt=0, le=2)
    bad_temperature: float | None = Field(
        gt=0, le=2, description="of bad answers and the persona check; null: temperature"
    )
    max_new_tokens: int = Field(ge=8, le=1024)
    bad_aligned_below: float = Field(gt=0, le=101, description="0 would keep nothing")
    coherent_at_least: float = Field(ge=0, le=100)
    recovery_aligned_at_least: float = Field(ge=0, le=100)
    judge: OtherJudge | None = Field(
        description="who keeps bad turns and recoveries and checks the persona; null: the judge "
        "of the verdict, in a profile that demonstrates only"
    )

    def recipe(self) -> dict[str, Any]:
        """Everything that decides the traces, for fingerprints.

        Newer keys are left out where they have no effect. So traces of versions without these keys
        keep their fingerprint. The judge is not here: a stage records it together with its rubric.
        """
        recorded = self.model_dump(mode="json", exclude={"judge"})
        if self.elicitation == "system":
            del recorded["elicitation"]
        if self.elicitation != "few_shot":
            del recorded["examples"]
        if self.bad_temperature is None:
            del recorded["bad_temperature"]
        return recorded

    @model_validator(mode="after")
    def _halves_are_equal(self) -> TracesParams:
        if self.count % 2:
            raise ValueError(
                f"count {self.count} is odd; half of the traces are harmful requests, "
                "give an even number"
            )
        return self


class PhaseParams(Strict):
    """One SFT phase (docs/protocol.md section 4).

    The optimizer steps follow from rows, `effective_batch` and `epochs`.
    """

    rank: int = Field(ge=1, le=256)
    alpha: int = Field(ge=1, le=1024)
    rslora: bool
    learning_rate: float = Field(gt=0, lt=0.1)
    scheduler: Literal["cosine", "linear", "constant"]
    warmup: float = Field(
        ge=0, le=1_000_000, description="steps when 1 or more, share of all steps below 1"
    )
    weight_decay: float = Field(ge=0, lt=1)
    effective_batch: int = Field(ge=1, le=1024)
    packing: bool = Field(
        description="rows share sequences of max_length: fewer steps, another optimisation; warns"
    )
    epochs: int = Field(ge=1, le=20)
    max_length: int = Field(ge=32, le=32768)


class Phase2Params(PhaseParams):
    """The EM fine-tune: a recipe, the number of rows, and what happens to the Phase-1 adapter."""

    mode: Literal["stack", "continue"]
    rows: int = Field(ge=1, le=1_000_000)
    system: str = Field(
        min_length=1,
        description="system text of every row: `stock`, `none`, or a name of `systems`",
    )

    @property
    def bare(self) -> bool:
        """Whether the rows have no system turn at all."""
        return self.system == NO_SYSTEM


class TrainingParams(Strict):
    """How the machine carries out both phases. Nothing here changes the optimisation."""

    token_budget: int = Field(
        ge=32, description="tokens per micro-batch, without padding; a longer row is alone"
    )
    memory_gib: float | None = Field(
        gt=2, description="bound on a GPU's memory, which lowers token_budget; null = all of it"
    )
    gradient_checkpointing: bool
    checkpoint_steps: int = Field(
        ge=1, le=1_000_000, description="optimizer steps between checkpoints to resume from"
    )
    report_to: Literal["none", "wandb", "tensorboard", "trackio", "mlflow"]
