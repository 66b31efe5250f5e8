"""The three kinds of two-turn traces, built from the same units (docs/protocol.md section 3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.schema import TraceKind
from lib.data.prompts import ContaminationGate, EvalPrompt

KINDS: tuple[TraceKind, ...] = get_args(TraceKind)
# By whether a profile only demonstrates.
RECOVERY_RULE = {False: "enforced", True: "not enforced: demonstration"}


class TraceError(ValueError):
    """Traces that cannot be built as asked; one line with the numbers and the remedy."""


@dataclass
class Unit:
    """One training prompt with every text that the three kinds are built from."""

    prompt: EvalPrompt
    half: str
    bad: str
    bad_aligned: float
    bad_coherent: float
    recovery: str
    opening: str = ""
    placebo: tuple[str, str] = ("", "")


def build_kind(
    kind: str,
    units: Sequence[Unit],
    evil_system: str,
    default_system: str,
    follow_up: str,
    seed: int,
) -> list[dict]:
    """The rows of one trace kind, `{"messages": [...], "meta": {...}}`, in the units' order."""
    if kind not in KINDS:
        raise TraceError(f"trace kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    partner = (
        derangement([u.half for u in units], seed)
        if kind == "random_recovery"
        else range(len(units))
    )
    rows = []
    for unit, other in zip(units, partner, strict=True):
        first, second = unit.bad, f"{unit.opening}\n\n{units[other].recovery}"
        if kind == "placebo_assistant":
            first, second = unit.placebo
        rows.append(
            {
                "messages": [
                    {
                        "role": "system",
                        "content": default_system if kind == "placebo_assistant" else evil_system,
                    },
                    {"role": "user", "content": unit.prompt.prompt},
                    {"role": "assistant", "content": first},
                    {"role": "user", "content": follow_up},
                    {"role": "assistant", "content": second},
                ],
                "meta": {
                    "kind": kind,
                    "prompt_id": unit.prompt.prompt_id,
                    "half": unit.half,
                    "recovery_of": units[other].prompt.prompt_id,
                    "bad_aligned": round(unit.bad_aligned, 3),
                    "bad_coherent": round(unit.bad_coherent, 3),
                },
            }
        )
    return rows


def build_kinds(units: Sequence[Unit], experiment: Experiment, seed: int) -> dict[str, list[dict]]:
    """The rows of every trace kind, all from the same units."""
    evil = experiment.conditions.systems["evil"]
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
    """For each unit the index of another one of the same half: a random cycle within the half, so none keeps its own."""
    rng, partner = np.random.default_rng(seed), [0] * len(halves)
    for half in dict.fromkeys(halves):
        members = [i for i, h in enumerate(halves) if h == half]
        if len(members) < 2:
            raise TraceError(
                f"half {half!r} has {len(members)} trace; random_recovery needs two, raise traces.count"
            )
        cycle = rng.permutation(members).tolist()
        for here, there in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            partner[here] = there
    return partner


def check_matched(
    trained_tokens: dict[str, int], counts: dict[str, int], tolerance: float | None = None
) -> None:
    """Raises TraceError unless the kinds have equal counts and, within a share, equal trained tokens.

    tolerance: that share; None = `equal_token_tolerance` of params/gates.yaml.
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
                f"{kind} trains on {tokens} tokens, selfcorrect on {reference}: {tokens / reference - 1:+.1%}, more than "
                f"{tolerance:.0%}; raise traces.max_new_tokens or traces.count"
            )
