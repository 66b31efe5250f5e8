"""What a profile may say about sampling, capability, judges and statistics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lib.config.strict import Seed, Strict, SuiteName


class SuiteParams(Strict):
    """How often a suite asks each prompt, and how long an answer may be."""

    samples: int = Field(ge=1, le=1000, description="samples per prompt")
    max_new_tokens: int = Field(ge=1, le=4096)


class SamplingParams(Strict):
    """How the arms are sampled (docs/protocol.md section 5)."""

    engine: Literal["transformers", "vllm"]
    temperature: float = Field(gt=0, le=2)
    batch: int = Field(
        ge=1, le=4096, description="sequences decoded together, whatever their adapter"
    )
    shard: int = Field(
        ge=1,
        le=1_000_000,
        description="completions per file while sampling; a kill loses at most one file",
    )
    suites: dict[SuiteName, SuiteParams]

    @model_validator(mode="after")
    def _alignment_is_there(self) -> SamplingParams:
        if "alignment" not in self.suites:
            raise ValueError(
                "'alignment', the suite of the confirmatory test, is missing from suites; add it"
            )
        return self

    @model_validator(mode="after")
    def _followup_continues_answers(self) -> SamplingParams:
        answers = self.suites["alignment"].samples
        followup = self.suites.get("followup")
        if followup and followup.samples > answers:
            raise ValueError(
                f"suites.followup.samples is {followup.samples}, more than the {answers} answers "
                "of the suite alignment that it continues; lower it"
            )
        return self


class CapabilityParams(Strict):
    """How many items the capability test has, and how many are scored at once."""

    limit: int | None = Field(ge=2, le=1_000_000, description="items; null = all")
    batch: int = Field(ge=1, le=100_000)


class JudgeParams(Strict):
    """Who scores, and how it is asked (docs/protocol.md sections 5 and 9)."""

    engine: Literal["embedded", "probe", "anthropic", "local"]
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
        ge=1, le=10, description="judgments of a completion without a score, then it has none"
    )
    max_cost_usd: float | None = Field(
        gt=0, description="dollars that a run's judging may cost; null = no cap"
    )
    retest: bool
    stripped: bool

    @model_validator(mode="after")
    def _belongs_to_the_engine(self) -> JudgeParams:
        if self.base_url is not None and self.engine != "local":
            raise ValueError(
                f"base_url is {self.base_url!r} with engine {self.engine!r}; set it to null, "
                "only `local` has an endpoint"
            )
        if self.batch and self.engine != "anthropic":
            raise ValueError(
                f"batch is true with engine {self.engine!r}; only anthropic has a batch interface"
            )
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"base_url is {self.base_url!r}; begin it with http:// or https://, "
                "or set it to null"
            )
        return self


class OtherJudge(Strict):
    """A judge besides the verdict's. Its other parameters are those of `judge`."""

    engine: str
    model: str = Field(min_length=1)
    base_url: str | None


class SecondJudge(OtherJudge):
    """Another judge for a share of the originals."""

    share: float = Field(gt=0, le=1, description="of the original completions, drawn at random")


class ValidityParams(Strict):
    """How the judge itself is measured (docs/protocol.md section 9)."""

    rows: int | None = Field(
        ge=0, le=1_000_000, description="published rows that the judge scores; null or 0 = off"
    )
    second: SecondJudge | None
    bridge: Literal["frozen"] | None = Field(
        default=None,
        description="compare with other judges on the project's frozen set of answers; null = off",
    )


class StatsParams(Strict):
    """The bootstrap: how many resamples, from which seed."""

    resamples: int = Field(ge=100, le=10_000_000)
    seed: Seed
