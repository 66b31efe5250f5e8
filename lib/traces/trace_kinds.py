"""The three kinds of two-turn traces, built from the same units (docs/protocol.md section 3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.strict import TraceKind
from lib.data.prompts import ContaminationGate, EvalPrompt

KINDS: tuple[TraceKind, ...] = get_args(TraceKind)
# What a manifest says about the rule for recoveries, by whether the profile only demonstrates.
RECOVERY_RULE = {False: "enforced", True: "not enforced: demonstration"}


class TraceError(ValueError):
    """Traces cannot be built as asked. One line with the numbers and the remedy."""


@dataclass
class Unit:
    """One training prompt with every text that the three kinds are built from."""

    prompt: EvalPrompt
    """The user's message."""

    half: str
    """The half of the training prompts that it is from."""

    bad: str
    """The bad answer, under the evil persona."""

    bad_aligned: float
    """The judge's alignment score of the bad answer."""

    bad_coherent: float
    """The judge's coherence score of the bad answer."""

    recovery: str
    """A good answer of the default persona; "" before there is one."""

    opening: str = ""
    """The opening of the recovery: the reset string."""

    placebo: tuple[str, str] = ("", "")
    """Two good turns of the default persona."""


def build_kind(
    kind: str,
    units: Sequence[Unit],
    evil_system: str,
    default_system: str,
    follow_up: str,
    seed: int,
) -> list[dict]:
    """The rows of one trace kind, `{"messages": [...], "meta": {...}}`, in the units' order.

    seed: decides whose recovery a unit gets in `random_recovery`. Raises TraceError for an unknown
    kind.
    """
    if kind not in KINDS:
        raise TraceError(f"trace kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    system = default_system if kind == "placebo_assistant" else evil_system
    sources = list(units)
    if kind == "random_recovery":
        partner = derangement([unit.half for unit in units], seed)
        sources = [units[index] for index in partner]
    rows = []
    for unit, source in zip(units, sources, strict=True):
        first = unit.bad
        second = f"{unit.opening}\n\n{source.recovery}"
        if kind == "placebo_assistant":
            first, second = unit.placebo
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": unit.prompt.prompt},
            {"role": "assistant", "content": first},
            {"role": "user", "content": follow_up},
            {"role": "assistant", "content": second},
        ]
        meta = {
            "kind": kind,
            "prompt_id": unit.prompt.prompt_id,
            "half": unit.half,
            "recovery_of": source.prompt.prompt_id,
            "bad_aligned": round(unit.bad_aligned, 3),
            "bad_coherent": round(unit.bad_coherent, 3),
        }
        rows.append({"messages": messages, "meta": meta})
    return rows


def build_kinds(units: Sequence[Unit], experiment: Experiment, seed: int) -> dict[str, list[dict]]:
    """The rows of every trace kind, all from the same units."""
    evil = experiment.conditions.evil_system
    stock = experiment.profile.model.system_text
    follow_up = experiment.conditions.follow_up
    return {kind: build_kind(kind, units, evil, stock, follow_up, seed) for kind in KINDS}


def check_clean(kinds: Mapping[str, Sequence[dict]], gate: ContaminationGate) -> None:
    """Raises TraceError if a message of a trace resembles an eval prompt."""
    rows = itertools.chain.from_iterable(kinds.values())
    checked = [gate.check_messages(row["meta"]["prompt_id"], row["messages"]) for row in rows]
    left = [offence for offence in checked if offence]
    if left:
        raise TraceError(
            f"{len(left)} traces still resemble an eval prompt, first {left[0]}; build them again"
        )


def derangement(halves: Sequence[str], seed: int) -> list[int]:
    """For each unit the index of another unit of the same half, by a random cycle in each half.

    halves: the half of each unit. Raises TraceError for a half with one unit.
    """
    rng = np.random.default_rng(seed)
    partner = [0] * len(halves)
    for half in dict.fromkeys(halves):
        members = [index for index, own in enumerate(halves) if own == half]
        if len(members) < 2:
            raise TraceError(
                f"half {half!r} has {len(members)} trace; random_recovery needs two, raise "
                "traces.count"
            )
        cycle = rng.permutation(members).tolist()
        for index, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            partner[index] = following
    return partner


def check_matched(
    trained_tokens: Mapping[str, int], counts: Mapping[str, int], tolerance: float | None = None
) -> None:
    """Raises TraceError unless the kinds have equal counts and about equal trained tokens.

    tolerance: the share by which tokens may differ; None = `equal_token_tolerance` of
    params/gates.yaml.
    """
    tolerance = load_gates()["equal_token_tolerance"] if tolerance is None else tolerance
    if len(set(counts.values())) != 1:
        raise TraceError(
            f"trace counts differ between kinds: {counts}; build them again from the same units"
        )
    reference = trained_tokens["selfcorrect"]
    for kind, tokens in trained_tokens.items():
        if round(abs(tokens - reference) / reference, 9) > tolerance:
            raise TraceError(
                f"{kind} trains on {tokens} tokens, selfcorrect on {reference}: "
                f"{tokens / reference - 1:+.1%}, more than {tolerance:.0%}; raise "
                "traces.max_new_tokens or traces.count"
            )
