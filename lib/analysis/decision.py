"""What `lib.analysis.gates.decide` returns, field by field; result.json has the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib.analysis.limits import Comparison


@dataclass(frozen=True)
class GatePart(Comparison):
    """One number of a gate against its threshold."""

    measure: str  # what the value is, in words


@dataclass(frozen=True)
class GateRow(GatePart):
    """A row of the decision table, with the number that decides it."""

    number: int  # 0 to 7, in the order in which they are asked
    name: str  # the verdict where the gate fails; of gate 7: where all pass
    parts: Sequence[GatePart] | None = None  # every number of a gate that has several

    def to_dict(self) -> dict[str, Any]:
        """As in result.json, where a gate of one number has no `parts`."""
        row = asdict(self)
        if self.parts is None:
            del row["parts"]
        return row


@dataclass(frozen=True)
class ControlRemark:
    """How a control does compared with the treatment; described, not tested."""

    name: str  # of the arm
    delta: float | None  # control - baseline, points
    treatment_minus_control: float | None  # points
    ci95: Sequence[float] | None  # of treatment - control
    does: str | None  # "better", "less well", "as well", "cannot be told apart"; None: not compared
    does_as_well: bool | None  # whether it may do as well, so that the effect is not the reflex's


@dataclass(frozen=True)
class RefusalRemark:
    """Whether the gain is, at least in part, refusal."""

    in_part_refusal: bool | None  # None: not known
    delta_without_refusals: float | None  # points
    rises: Mapping[str, float | None]  # of the refusal rate, on `union` and `benign`, shares
    reason: str | None  # None unless it is


@dataclass(frozen=True)
class SecondJudgeRemark:
    """Whether the verdict depends on the judge."""

    depends_on_the_judge: bool | None  # None: there is no second judge, or its data are missing
    delta: float | None  # by the second judge, points
    reason: str | None  # None unless it does


@dataclass(frozen=True)
class Remarks:
    """Remarks next to the verdict that never change it. None: not known."""

    strong: Comparison  # delta against the threshold of `supported_strong`
    title: str | None  # of a `supported` that is not shown to be the reflex
    controls: Sequence[ControlRemark]  # how each does compared with the treatment
    control_does_as_well: bool | None  # whether any may
    literal_reflex: Comparison  # its rate in the treatment, a share
    semantic_reflex: Comparison  # the same, as the judge sees it
    power: Comparison  # the minimum detectable effect, points
    stripped: Comparison  # delta with the opening stripped, points
    underpowered: bool | None  # `power` fails
    stripped_below_null: bool | None  # `stripped` fails
    filter_decides: bool | None  # filtered and unfiltered delta on different sides of gate 3
    refusal: RefusalRemark  # whether the gain is refusal
    second_judge: SecondJudgeRemark  # whether the verdict depends on the judge
    acc_against_base: Comparison  # accuracy of treatment - base, a share
    manual_review_done: bool | None  # whether a person has read the samples
    confidence: str  # "LOW", "LIMITED" or "not capped", by the number of seeds
    few_seeds: str | None  # what p means with so few seeds; None from five on
    reasons: Sequence[str]  # what weakens the verdict, one line each


@dataclass(frozen=True)
class Decision:
    """The verdict and how it was reached."""

    verdict: str  # a name of docs/protocol.md section 7
    verdict_reason: str  # the gate, check or missing input that decides, with its number
    recommendation: str | None  # the follow-up; of `supported_strong` alone
    em_collapse: str | None  # "nothing", "code" or "noise" of a gate 1 that fails, else None
    gates: Sequence[GateRow]  # 0 to 7; those after the deciding one are for information
    beside: Remarks  # what weakens the verdict but never changes it

    def to_dict(self) -> dict[str, Any]:
        """As in result.json."""
        return asdict(self) | {"gates": [row.to_dict() for row in self.gates]}
