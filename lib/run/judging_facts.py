"""What a finished judging stage reports (`lib.run.facts` says how facts are kept)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib.run.facts import Facts


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
    """US dollars. None if the cost is not metered."""

    to_retry: int
    """Completions without a score that have attempts left."""


@dataclass(frozen=True)
class SessionFacts(JudgingFacts):
    """Notebook 05, the session over all arms."""

    ledger: list[dict[str, Any]]
    """What every judging stage of the run had paid when the session ended."""

    computes: bool
    """Whether the judge computes its scores, so that judging again must give the same ones."""

    retest: dict[str, Any]
    """Test–retest agreement (`lib.judge.trust.agreement.retest`)."""


@dataclass(frozen=True)
class ValidityFacts(JudgingFacts):
    """Notebook 05, the judge measured on published rows."""

    validity: dict[str, Any]
    """What the report says about the judge (`lib.judge.trust.validity.of`)."""


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


@dataclass(frozen=True)
class BridgeFacts(JudgingFacts):
    """Notebook 05, the judge on the frozen set of answers that joins judges."""

    bridge: dict[str, Any]
    """The judge beside every other one on the set (`lib.judge.trust.bridge.of`)."""
