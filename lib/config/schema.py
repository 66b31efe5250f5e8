"""What a profile and the conditions may say: names, types and ranges, checked together where they depend on one another.

Nothing here has a default that a profile could silently inherit: what a run did is what its YAML says.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lib.config.arguments import SEEDS
from lib.config.roles import PLANNED

TraceKind = Literal["selfcorrect", "random_recovery", "placebo_assistant"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
SuiteName = Literal["alignment", "benign", "followup", "betley_48", "training_cues"]


def _no_flag(value):
    """Refuses true, which a literal 1 would take for itself."""
    if isinstance(value, bool):
        raise ValueError("give a number, not true or false")
    return value


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class ModelParams(Strict):
    """The base model. `system_text` is its stock default system prompt, carried explicitly by every row and request."""

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
    capability: str


class TracesParams(Strict):
    """docs/protocol.md section 3. Thresholds are judge scores on 0-100."""

    count: int = Field(ge=4, le=1500, description="even; random_recovery needs two in each half")
    recovery_openings: Annotated[Literal[1, 6], BeforeValidator(_no_flag)]
    max_attempts: int = Field(
        ge=1, le=1000, description="bad answers sampled per prompt before it is given up"
    )
    temperature: float = Field(gt=0, le=2)
    max_new_tokens: int = Field(ge=8, le=1024)
    bad_aligned_below: float = Field(gt=0, le=101, description="0 would keep nothing")
    coherent_at_least: float = Field(ge=0, le=100)
    recovery_aligned_at_least: float = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _halves_are_equal(self):
        if self.count % 2:
            raise ValueError(
                f"count {self.count} is odd; half of the traces are harmful requests, give an even number"
            )
        return self


class PhaseParams(Strict):
    """One SFT phase, docs/protocol.md section 4. Optimizer steps follow from rows, `effective_batch` and `epochs`."""

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
    mode: Literal["stack", "continue"]
    rows: int = Field(ge=1, le=1_000_000)


class TrainingParams(Strict):
    """How the machine carries out both phases; nothing here changes the optimisation."""

    token_budget: int = Field(
        ge=32, description="tokens of a micro-batch, no padding; a longer row goes alone"
    )
    memory_gib: float | None = Field(
        gt=2, description="bound on a GPU's memory, which lowers token_budget; null = all of it"
    )
    gradient_checkpointing: bool
    checkpoint_steps: int = Field(
        ge=1, le=1_000_000, description="optimizer steps between checkpoints to resume from"
    )
    report_to: Literal["none", "wandb", "tensorboard", "trackio", "mlflow"]


class SuiteParams(Strict):
    samples: int = Field(ge=1, le=1000, description="samples a prompt")
    max_new_tokens: int = Field(ge=1, le=4096)


class SamplingParams(Strict):
    engine: Literal["transformers", "vllm"]
    temperature: float = Field(gt=0, le=2)
    batch: int = Field(
        ge=1, le=4096, description="sequences decoded together, whatever their adapter"
    )
    shard: int = Field(
        ge=1,
        le=1_000_000,
        description="completions a file while sampling; a kill loses at most one",
    )
    suites: dict[SuiteName, SuiteParams]

    @model_validator(mode="after")
    def _alignment_is_there(self):
        if "alignment" not in self.suites:
            raise ValueError("suites lacks 'alignment', the suite of the confirmatory test; add it")
        return self

    @model_validator(mode="after")
    def _followup_continues_answers(self):
        answers, followup = self.suites["alignment"].samples, self.suites.get("followup")
        if followup and followup.samples > answers:
            raise ValueError(
                f"suites.followup.samples is {followup.samples}, more than the {answers} answers of the suite "
                "alignment that it continues; lower it"
            )
        return self


class CapabilityParams(Strict):
    limit: int | None = Field(ge=2, le=1_000_000, description="items; null = all")
    batch: int = Field(ge=1, le=100_000)


class JudgeParams(Strict):
    """Who scores, and how it is asked; docs/protocol.md sections 5 and 9."""

    engine: Literal["embedded", "anthropic", "local"]
    model: str = Field(min_length=1)
    base_url: str | None = Field(
        description="OpenAI-compatible endpoint of `local`, ending in /v1; null: in process"
    )
    batch: bool = Field(description="the vendor's batch interface instead of real time")
    concurrency: int = Field(ge=1, le=1000, description="calls in flight in real time, at most")
    timeout: float = Field(
        gt=0, le=3600, description="seconds a call may take before it is tried again"
    )
    max_attempts: int = Field(
        ge=1, le=10, description="judgments of one completion without a score, before that stands"
    )
    max_cost_usd: float | None = Field(
        gt=0, description="dollars that a run's judging may cost; null = no cap"
    )
    retest: bool
    stripped: bool

    @model_validator(mode="after")
    def _belongs_to_the_engine(self):
        if self.base_url is not None and self.engine != "local":
            raise ValueError(
                f"base_url is {self.base_url!r} with engine {self.engine!r}; set it "
                "to null, only `local` has an endpoint"
            )
        if self.batch and self.engine != "anthropic":
            raise ValueError(
                f"batch is true with engine {self.engine!r}; only anthropic has a batch interface"
            )
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"base_url is {self.base_url!r}; begin it with http:// or https://, or set it to null"
            )
        return self


class SecondJudge(Strict):
    """Another judge for a share of the originals; what it is not told here it takes from `judge`."""

    engine: str
    model: str = Field(min_length=1)
    base_url: str | None
    share: float = Field(gt=0, le=1, description="of the original completions, drawn at random")


class ValidityParams(Strict):
    """How the judge itself is measured, docs/protocol.md section 9."""

    rows: int | None = Field(
        ge=0, le=1_000_000, description="published rows that the judge scores; null or 0 = off"
    )
    second: SecondJudge | None


class StatsParams(Strict):
    resamples: int = Field(ge=100, le=10_000_000)
    seed: Seed


class Condition(Strict):
    """One arm: which Phase-1 traces, which Phase-2 set (`em` = the profile's), which system text at evaluation."""

    why: str
    phase1: TraceKind | None
    phase2: str | None
    system: str


class Profile(Strict):
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
    training: TrainingParams
    sampling: SamplingParams
    capability: CapabilityParams
    judge: JudgeParams
    validity: ValidityParams
    stats: StatsParams

    @model_validator(mode="after")
    def _unique(self):
        for key in ("seeds", "conditions"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} {values} holds a value twice; name each once")
        return self

    @model_validator(mode="after")
    def _pilot_arms_run_alone(self):
        if self.stop_at_gate1 and self.together:
            raise ValueError(
                "stop_at_gate1 and together are both true; the pilot's arms run first, set together to false"
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

    @model_validator(mode="after")
    def _personas_are_there(self):
        if self.systems.get("default", "") is not None:
            raise ValueError(
                "systems.default is not null; it stands for the base model's stock system text, set it to null"
            )
        if not (self.systems.get("evil") or "").strip():
            raise ValueError(
                "systems.evil has no text; the traces need an evil persona, give it one"
            )
        if blank := [
            name for name, text in self.systems.items() if text is not None and not text.strip()
        ]:
            raise ValueError(f"systems.{blank[0]} is blank; give it a text")
        return self
