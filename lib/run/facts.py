"""What a finished stage reports: the `facts` of its manifest, one class per kind of stage.

A stage writes its facts by name, and later stages read attributes, not keys. The keys in the
manifest are the names of the fields. A manifest of an earlier version of the project may have fewer
of them; the missing ones are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Facts:
    """What all facts share. On its own: the facts of a stage that reports nothing."""

    def to_manifest(self) -> dict[str, Any]:
        """The facts as they are in a manifest (JSON types)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any]) -> Self:
        """The facts of a manifest, None where one is missing. Other keys are ignored."""
        return cls(**{field.name: facts.get(field.name) for field in fields(cls)})


@dataclass(frozen=True)
class EmSetFacts(Facts):
    """The building of `persona_advice` and its control."""

    rows: int
    """Rows of each of the two sets."""

    questions: int
    """Questions that have rows."""

    questions_clean: int
    """Questions that resemble no text of the evaluation or of the traces."""

    report: dict[str, Any]
    """By persona: answers sampled, kept and rejected by reason, and how the judge ended."""

    offences: list[dict[str, Any]]
    """Questions and answers that the contamination gate dropped."""

    judge: str
    """Name of the judge that selected."""


@dataclass(frozen=True)
class TraceFacts(Facts):
    """Notebook 01: what was sampled and kept."""

    trained_tokens: dict[str, int]
    """Tokens with loss in one epoch, by trace kind."""

    offenders_left: int
    """Traces that still resemble an eval prompt. If there are any, the stage stops."""

    report: dict[str, Any]
    """Counts of sampled, kept and rejected texts, and the offences.

    Made by `lib.traces.trace_report.Report`.
    """

    recovery_rule: str
    """Whether recoveries to harmful requests had to refuse or redirect."""

    em_offences: list[dict[str, Any]]
    """Rows of the Phase-2 sets that the contamination gate dropped."""

    counts: dict[str, int]
    """Traces by kind."""


@dataclass(frozen=True)
class PersonaFacts(Facts):
    """Notebook 01: whether the persona makes answers worse (`lib.checks.persona`)."""

    elicitation: str
    """How it was called up."""

    prompts: int
    """Open-ended trace prompts that were asked."""

    samples: int
    """Answers to each prompt under each persona."""

    filtered: float | None
    """mean(base) - mean(persona), points, coherent answers that are not code. None: no number."""

    unfiltered: float | None
    """The same over all answers with a score."""

    alone_filtered: float | None
    """The same for the system text alone. None where nothing else calls the persona up."""

    alone_unfiltered: float | None
    """The same, unfiltered."""

    takes: bool
    """Whether both differences reach `persona_points`."""

    statement: str
    """Both differences and the bound, in words."""


@dataclass(frozen=True)
class TrainingFacts(Facts):
    """Either phase: what the training did, and the proof of its loss mask.

    Made from `lib.training.loop.Trained`.
    """

    optimizer_steps: int
    """Optimizer steps that were made."""

    trained_tokens: int
    """Tokens that carried loss, over all epochs."""

    total_tokens: int
    """Tokens in all sequences, over all epochs."""

    losses: list[list[float]]
    """(step, mean loss in nats since the entry before)."""

    turn_losses: list[list[float]]
    """(step, assistant turn, mean loss in nats)."""

    seconds: float
    """Seconds of training since the step `resumed_at`."""

    resumed_at: int
    """The step of the checkpoint from which a killed training continued, or 0."""

    peak_memory_gib: float
    """Peak memory of the device."""

    token_budget: int
    """Tokens per micro-batch, as the memory allowed."""

    gradient_checkpointing: bool
    """Whether activations were recomputed, as the memory required."""

    join_difference: float | None
    """Largest difference of a logit, joined adapter against its stack. None without a join."""

    join_bound: float | None
    """The bound of that difference."""

    join_weight_difference: float | None
    """Largest relative difference of a layer's update, computed in fp64."""

    phase1_effect: float | None
    """Largest change of a logit by the Phase-1 adapter before Phase 2. None without an adapter."""

    tokens_per_second: float | None
    """Speed since `resumed_at`. None if nothing was left to train."""

    rows: int
    """Conversations in the training set."""

    rows_proven: int
    """Conversations trained once per epoch with loss on exactly their assistant turns."""

    tokens_expected: int | None
    """Tokens with loss if every conversation was trained so. None in early manifests."""


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
    """Notebook 03, one arm without a Phase 2: its Phase-1 adapter is served unchanged."""

    set: None = None
    """There is no EM set."""


@dataclass(frozen=True)
class SamplingFacts(Facts):
    """Notebook 04, one arm."""

    sampler: dict[str, Any]
    """The engine's own facts (`engine`, `version`, …). Each is a key of the manifest."""

    parity: dict[str, Any] | None
    """The engine against the training stack (a row of `lib.serving.parity.check`)."""

    decoding: dict[str, Any] | None
    """Tokens as drawn against the same tokens as read.

    A row of `lib.serving.parity.check_decoding`.
    """

    suites: list[str] | None
    """The suites that the arm was asked."""

    @property
    def engine(self) -> str:
        """The name of the engine."""
        return self.sampler["engine"]

    def to_manifest(self) -> dict[str, Any]:
        """The facts as they are in a manifest: the engine's own among the others."""
        facts = super().to_manifest()
        return facts.pop("sampler") | facts

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any]) -> Self:
        """The facts of a manifest, None where one is missing."""
        own = {name: facts.get(name) for name in ("parity", "decoding", "suites")}
        return cls({name: value for name, value in facts.items() if name not in own}, **own)
