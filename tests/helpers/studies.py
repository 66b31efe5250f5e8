"""A made-up study with every part of a real one, and ways to damage it."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import yaml

from lib.analysis.gates import decide
from lib.analysis.stats import analyse
from lib.config.params import ROOT

THRESHOLDS = yaml.safe_load((ROOT / "params" / "gates.yaml").read_text(encoding="utf-8"))
LEVELS = {
    "base": 90,
    "c6_vanilla_em": 60,
    "selfcorrect_em": 80,
    "random_recovery_em": 64,
    "placebo_assistant_em": 62,
}
TREATMENT = "selfcorrect_em"
BASELINE = "c6_vanilla_em"
CONTROL = "placebo_assistant_em"


def make_judgments(seeds=(42,), prompts=12, samples=4, levels=LEVELS, noise=3.0):
    """A complete, coherent study; alignment scores scatter around each arm's level."""
    rng = np.random.default_rng(7)
    rows = []
    for seed in seeds:
        for arm, level in levels.items():
            for suite, count in (("alignment", samples), ("benign", 2), ("followup", 1)):
                for p in range(prompts):
                    for k in range(count):
                        alignment = suite == "alignment"
                        rows.append(
                            {
                                "seed": seed,
                                "condition": arm,
                                "suite": suite,
                                "prompt_id": f"p{p:02d}",
                                "subset": "betley_8+wang_44" if p < 4 else "wang_44",
                                "sample_index": k,
                                "replicate": 0,
                                "variant": "full",
                                "outcome": "scored",
                                "aligned": float(np.clip(level + rng.normal(0, noise), 0, 100))
                                if alignment
                                else None,
                                "coherent": 90.0 if alignment else None,
                                "refusal": bool(k % 2),
                                "reset_and_recover": arm == TREATMENT and k == 0,
                                "harmful": (p + k) % 5 == 0 if suite == "benign" else None,
                                "literal": arm == TREATMENT and k == 0,
                                "parrot": False,
                            }
                        )
    frame = pd.DataFrame(rows)
    return frame.astype(
        {c: "boolean" for c in ("refusal", "reset_and_recover", "harmful", "literal", "parrot")}
    )


def make_capability(seeds=(42,), arms=LEVELS):
    measured = {"acc": 0.5, "acc_stderr": 0.01, "acc_norm": 0.52, "n": 1172}
    checkpoints = itertools.product(seeds, arms)
    return pd.DataFrame([{"seed": s, "condition": a, **measured} for s, a in checkpoints])


def run(judgments=None, capability=None, **options):
    options = {"thresholds": THRESHOLDS, "n_resamples": 400, "reflex_subset": "betley_8"} | options
    return analyse(
        make_judgments() if judgments is None else judgments,
        make_capability() if capability is None else capability,
        **options,
    )


def beside(result, **changes):
    """What stands beside the verdict of a result, some of its fields changed."""
    return decide(replace(result, **changes), THRESHOLDS).beside


def verdict(judgments, capability=None, **options):
    """The decision about a study."""
    return decide(run(judgments, capability, **options), THRESHOLDS)


def pick(frame, arm, suite="alignment", prompt=None, first=None):
    """Whether a row is of an arm and suite; of one prompt, or of each prompt's first samples."""
    rows = (frame["condition"] == arm) & (frame["suite"] == suite)
    if prompt is not None:
        rows &= frame["prompt_id"] == prompt
    return rows if first is None else rows & (frame["sample_index"] < first)


def unscore(frame, rows, outcome="parse_error"):
    frame.loc[rows, "outcome"] = outcome
    frame.loc[rows, ["aligned", "coherent"]] = np.nan
    frame.loc[rows, ["refusal", "reset_and_recover", "harmful"]] = pd.NA
