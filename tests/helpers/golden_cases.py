"""The fixed tables whose results tests/golden/ keeps: verdicts, and every part of a result once."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from studies import (
    BASELINE,
    LEVELS,
    THRESHOLDS,
    TREATMENT,
    make_capability,
    make_judgments,
    pick,
    unscore,
)

from lib.analysis import gates, stats
from lib.config.params import ROOT

FOLDER = ROOT / "tests" / "golden"
RESAMPLES = 200
ONLY_PLANNED = {arm: LEVELS[arm] for arm in ("base", BASELINE, TREATMENT)}


def supported() -> dict:
    """Three seeds, all controls; a second judge and a stripped re-score that say the same."""
    seeds = (42, 43, 44)
    frame = make_judgments(seeds, prompts=6)
    opened = frame[pick(frame, TREATMENT) & frame["literal"]]
    stripped = opened.assign(variant="stripped", aligned=70.0)
    second = frame[frame["suite"] == "alignment"].assign(replicate=2)
    second["aligned"] -= second["prompt_id"].eq("p01") * 5.0
    return {
        "judgments": pd.concat([frame, stripped], ignore_index=True),
        "capability": make_capability(seeds),
        "second": second,
    }


def five_seeds() -> dict:
    """Enough seeds for the two-level interval, capability by item, and a smaller gain."""
    seeds = (1, 2, 3, 4, 5)
    levels = ONLY_PLANNED | {TREATMENT: 68}
    capability = make_capability(seeds, arms=levels)
    capability["items"] = [
        {f"q{item}": [float((item + seed + len(arm)) % 3 == 0), 0.0] for item in range(9)}
        for seed, arm in zip(capability["seed"], capability["condition"], strict=True)
    ]
    return {"judgments": make_judgments(seeds, prompts=5, levels=levels), "capability": capability}


def null() -> dict:
    """A gain of two points; code and refusals are known."""
    levels = ONLY_PLANNED | {TREATMENT: 62}
    frame = make_judgments(prompts=6, levels=levels)
    frame["code"] = pd.array([False] * len(frame), dtype="boolean")
    frame.loc[pick(frame, TREATMENT, prompt="p02") & (frame["sample_index"] == 1), "code"] = True
    return {"judgments": frame, "capability": make_capability(arms=levels)}


def no_pair() -> dict:
    """The treatment's prompts have other ids than the baseline's: nothing can be paired."""
    frame = make_judgments(prompts=4, levels=ONLY_PLANNED)
    own = frame["condition"] == TREATMENT
    frame["prompt_id"] = frame["prompt_id"].where(~own, frame["prompt_id"] + " ")
    return {"judgments": frame, "capability": make_capability(arms=ONLY_PLANNED)}


def no_treatment() -> dict:
    """The treatment is missing, and so are capability and the benign suite."""
    frame = make_judgments(prompts=4, levels={"base": 90, BASELINE: 60})
    frame = frame[frame["suite"] == "alignment"]
    return {"judgments": frame, "capability": make_capability().iloc[:0]}


def em_not_induced() -> dict:
    """The baseline stays as good as base in words, and five of a hundred answers are code."""
    levels = ONLY_PLANNED | {BASELINE: 70}
    frame = make_judgments(prompts=5, levels=levels)
    frame["code"] = pd.array([False] * len(frame), dtype="boolean")
    frame.loc[pick(frame, BASELINE) & (frame["sample_index"] == 0), "code"] = True
    return {"judgments": frame, "capability": make_capability(arms=levels)}


def gaps() -> dict:
    """A prompt that leaves, one never asked, an unjudged control, unscored benign answers."""
    frame = make_judgments((42, 43), prompts=5)
    frame.loc[pick(frame, BASELINE, prompt="p03"), "coherent"] = 10.0
    unscore(frame, pick(frame, "placebo_assistant_em") & (frame["sample_index"] == 0))
    unscore(frame, pick(frame, TREATMENT, "benign") & (frame["prompt_id"] == "p01"), "error")
    frame = frame[~pick(frame, "base", prompt="p04")].reset_index(drop=True)
    capability = make_capability((42, 43))
    capability.loc[capability["condition"] == TREATMENT, "acc_stderr"] = float("nan")
    return {"judgments": frame, "capability": capability}


def nothing() -> dict:
    """No row of anything."""
    return {"judgments": pd.DataFrame(), "capability": pd.DataFrame()}


CASES: dict[str, Callable[[], dict]] = {
    case.__name__: case
    for case in (supported, five_seeds, null, no_pair, no_treatment, em_not_induced, gaps, nothing)
}


def result_of(name: str) -> dict:
    """Analysis and decision of a case, as they stand in result.json."""
    given = {"thresholds": THRESHOLDS, "reflex_subset": "betley_8", "n_resamples": RESAMPLES}
    analysis = stats.analyse(**given | CASES[name]())
    decision = gates.decide(analysis, THRESHOLDS, manual_review_done=name == "null" or None)
    return analysis.to_dict() | decision.to_dict()
