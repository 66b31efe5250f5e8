"""What a finished stage says of itself: the `facts` of its manifest, one class per kind of stage.

A stage writes its facts by name, and whoever reads them later reads attributes, not keys. The keys
in the manifest are the names of the fields. A manifest of an earlier version of the project may
have fewer of them; what it does not say is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Facts:
    """The facts of a stage that says nothing of itself, and what all facts share."""

    def to_manifest(self) -> dict[str, Any]:
        """The facts as they stand in a manifest (JSON types)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any]) -> Self:
        """The facts of a manifest; None for what it does not say. Other keys are left out."""
        return cls(**{field.name: facts.get(field.name) for field in fields(cls)})


@dataclass(frozen=True)
class TraceFacts(Facts):
    """Notebook 01: what was sampled and kept."""

    trained_tokens: dict[str, int]
    """Tokens with loss in one epoch, by trace kind."""

    offenders_left: int
    """Traces that still resemble an eval prompt; the stage stops unless there are none."""

    report: dict[str, Any]
    """Counts of sampled, kept and rejected texts, and the offences (`lib.traces.trace_report.Report`)."""

    recovery_rule: str
    """Whether recoveries to harmful requests had to refuse or redirect."""

    em_offences: list[dict[str, Any]]
    """Rows of the Phase-2 sets that the contamination gate dropped."""

    counts: dict[str, int]
    """Traces by kind."""


@dataclass(frozen=True)
class TrainingFacts(Facts):
    """Either phase: what the training did (`lib.training.loop.Trained`) and the proof of its loss mask."""

    optimizer_steps: int
    """Steps that were made."""

    trained_tokens: int
    """Tokens that carried loss, over all epochs."""

    total_tokens: int
    """Tokens that were read, over all epochs."""

    losses: list[list[float]]
    """(step, mean loss in nats since the entry before)."""

    turn_losses: list[list[float]]
    """(step, assistant turn, mean loss in nats)."""

    seconds: float
    """Seconds since `resumed_at`."""

    resumed_at: int
    """The step of the checkpoint from which a killed training continued, or 0."""

    peak_memory_gib: float
    """Peak memory of the device."""

    token_budget: int
    """Tokens per micro-batch, as the memory allowed."""

    gradient_checkpointing: bool
    """Whether activations were recomputed, as the memory required."""

    join_difference: float | None
    """Largest logit difference of the joined adapter to its stack; None where nothing is joined."""

    join_bound: float | None
    """The bound of that difference."""

    join_weight_difference: float | None
    """Largest difference of a layer's update, relative, in fp64."""

    phase1_effect: float | None
    """Largest change of a logit by the Phase-1 adapter before Phase 2 trained; None without one."""

    tokens_per_second: float | None
    """Speed since `resumed_at`; None where nothing was left to train."""

    rows: int
    """Conversations in the training set."""

    rows_proven: int
    """Conversations trained once per epoch with loss on exactly their assistant turns."""

    tokens_expected: int | None
    """Tokens with loss if every conversation was trained so; None in early manifests."""


@dataclass(frozen=True)
class Phase1Facts(TrainingFacts):
    """Notebook 02, one trace kind."""


@dataclass(frozen=True)
class Phase2Facts(TrainingFacts):
    """Notebook 03, one arm that Phase 2 trains."""

    set: str
    """Catalogue name of the EM set."""

    mode: str
    """`stack` or `continue`."""

    offences: list[dict[str, Any]]
    """Rows that the contamination gate dropped."""

    offenders_left: int
    """Rows that still resemble an eval prompt."""


@dataclass(frozen=True)
class CopiedFacts(Facts):
    """Notebook 03, one arm without a Phase 2: its Phase-1 adapter is served as it is."""

    set: None = None
    """There is no EM set."""


@dataclass(frozen=True)
class SamplingFacts(Facts):
    """Notebook 04, one arm."""

    sampler: dict[str, Any]
    """The engine's own facts (`engine`, `version`, …), each a key of the manifest."""

    parity: dict[str, Any] | None
    """The engine against the training stack (a row of `lib.serving.parity.check`)."""

    decoding: dict[str, Any] | None
    """Tokens as drawn against the same tokens as read (a row of `lib.serving.parity.check_decoding`)."""

    suites: list[str] | None
    """The suites that the arm was asked."""

    @property
    def engine(self) -> str:
        """The name of the engine."""
        return self.sampler["engine"]

    def to_manifest(self) -> dict[str, Any]:
        """The facts as they stand in a manifest, the engine's own beside the others."""
        facts = super().to_manifest()
        return facts.pop("sampler") | facts

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any]) -> Self:
        """The facts of a manifest; None for what it does not say."""
        own = {name: facts.get(name) for name in ("parity", "decoding", "suites")}
        return cls({name: value for name, value in facts.items() if name not in own}, **own)


@dataclass(frozen=True)
class JudgingFacts(Facts):
    """Any stage that judges."""

    judge: str
    """The judge's name."""

    rubric: str
    """The rubric's name and version."""

    calls: int
    """Judgments that were asked for."""

    cost_usd: float | None
    """US dollars; None where nobody meters them."""

    to_retry: int
    """Completions without a score that have attempts left."""


@dataclass(frozen=True)
class SessionFacts(JudgingFacts):
    """Notebook 05, the session over all arms."""

    ledger: list[dict[str, Any]]
    """What every judging stage of the run had paid when the session ended."""

    computes: bool
    """Whether the judge computes its scores, so that judging again must give the same."""

    retest: dict[str, Any]
    """Test–retest agreement (`lib.judge.trust.agreement.retest`)."""


@dataclass(frozen=True)
class ValidityFacts(JudgingFacts):
    """Notebook 05, the judge measured on published rows."""

    validity: dict[str, Any]
    """What the report says of the judge (`lib.judge.trust.validity.of`)."""


@dataclass(frozen=True)
class SecondJudgeFacts(JudgingFacts):
    """Notebook 05, a second judge on a share of the originals."""

    session: str
    """Fingerprint of the session whose judgments it is compared with."""
    judged_twice: int
    """Completions that both judges were asked about."""
    outcome_changed: int
    """Completions whose outcomes differ."""
    pairs: int
    """Completions that both scored for alignment."""
    mean_absolute_difference: float | None
    """Points."""
    mean_difference: float | None
    """Points, second minus first."""
    sd_difference: float | None
    """Points."""
    spearman: dict[str, Any]
    """Rank correlation with interval and sizes."""
    alpha: dict[str, Any]
    """Krippendorff's α, interval metric, with interval and sizes."""
    refusal_agreement: float | None
    """Share of completions with the same refusal label."""
    outcomes: dict[str, int]
    """The second judge's outcomes."""
    arms: list[dict[str, Any]]
    """Both judges' mean alignment by arm."""
