"""A result in which every text tries to run a script or to load something."""

from __future__ import annotations

EVIL = """<script>fetch("https://example.org/x")</script><img src="https://example.org/x.png">"""
ESTIMATE = {"value": None, "ci95": None, "n": 9, "n_clusters": 3, "held_out": [EVIL]}
PAIRED = {
    "judged_twice": 3,
    "outcome_changed": 0,
    "pairs": 3,
    "mean_difference": None,
    "mean_absolute_difference": None,
    "sd_difference": None,
    "refusal_agreement": None,
    "spearman": ESTIMATE,
    "alpha": ESTIMATE,
}
RESULT = {
    "roles": {"treatment": EVIL, "baseline": "c6_vanilla_em"},
    "verdict": "null",
    "verdict_reason": f"gate 3: {EVIL}",
    "recommendation": EVIL,
    "delta": None,
    "p_value": None,
    "ci95": None,
    "n_prompts": None,
    "mde": None,
    "headline": None,
    "headline_reason": EVIL,
    "interval_note": EVIL,
    "filtered": None,
    "unfiltered": {"delta": 1.0, "ci95": [-1.0, None]},
    "notes": [f"note {EVIL}"],
    "gates": [
        dict.fromkeys(("value", "margin", "passed"))
        | {"number": 3, "name": "null", "measure": EVIL, "needed": ">= 5"}
    ],
    "beside": {
        "reasons": [f"reason {EVIL}"],
        "confidence": EVIL,
        "control_does_as_well": None,
        "title": EVIL,
        "few_seeds": EVIL,
    },
    "predictions": [{"prediction": EVIL, "value": None, "needed": EVIL, "held": None}],
    "checks": [{"name": "loss mask", "status": "not run", "detail": EVIL}],
    "order": [],
    "reflex_subset": EVIL,
    "judge": {
        "judge": EVIL,
        "rubric": EVIL,
        "retest": PAIRED,
        "second": PAIRED | {"judge": EVIL, "arms": [{"condition": EVIL}]},
        "validity": {
            "statement": EVIL,
            "measures": {EVIL: ESTIMATE},
            "again": {EVIL: ESTIMATE},
            "outcomes": {EVIL: {EVIL: 3}},
        },
    },
    "judge_line": f"judge {EVIL}",
    "stripped": {"delta": 1.0, "ci95": None, "n_replaced": 4},
    "changed_since_stamp": {EVIL: f"-{EVIL}"},
    "deviations": [f"deviation {EVIL}"],
    "missing": [f"missing {EVIL}"],
    "prompts_absent": [{"condition": EVIL, "seed": 1, "prompt_id": EVIL}],
    "prompts_left_out": [
        {
            "prompt_id": EVIL,
            "scores": "filtered",
            "emptied": [EVIL],
            "comparison": EVIL,
            "reasons": [EVIL],
        }
    ],
    "data": None,
    "card": {"complete": False, "unknown": [EVIL], "fields": {EVIL: None, "commit": EVIL}},
    "arms": {
        EVIL: {"followup": {}}
        | dict.fromkeys(
            (
                "aligned",
                "aligned_filtered",
                "coherent",
                "dropped",
                "refusal",
                "harmful",
                "acc",
                "literal",
                "semantic",
                "parrot",
                "n_completions",
            )
        )
    },
}
