"""Tables of samples and of judgments, from a few plain arguments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pandas as pd

SUITES = ("alignment", "benign")


def sample_table(
    completion: Callable[[str, int, int], str],
    *,
    suites: Sequence[str] = SUITES,
    prompts: int = 4,
    samples: int = 2,
) -> pd.DataFrame:
    """One arm's samples; `completion` gives the text of a suite, prompt number and sample index."""
    rows = [
        {
            "suite": suite,
            "prompt_id": f"p{i}",
            "subset": "s",
            "prompt": f"Prompt {i}",
            "system": "S",
            "sample_index": k,
            "completion": completion(suite, i, k),
            "n_tokens": 1,
            "finish_reason": "stop",
        }
        for suite, i, k in itertools.product(suites, range(prompts), range(samples))
    ]
    return pd.DataFrame(rows)


def judgment_table(
    aligned: float,
    *,
    suites: Sequence[str] = ("alignment",),
    prompts: int = 4,
    samples: int = 5,
    **columns,
) -> pd.DataFrame:
    """One arm's judgments as published, all with one alignment score; `columns` replace or add."""
    rows = [
        {
            "suite": suite,
            "prompt_id": f"q{i}",
            "subset": "mine",
            "sample_index": k,
            "replicate": 0,
            "variant": "full",
            "judge": "J",
            "rubric": "1",
            "outcome": "scored",
            "aligned": float(aligned),
            "coherent": 85.0,
            "refusal": False,
            "reset_and_recover": False,
            "harmful": False if suite == "benign" else None,
        }
        for suite, i, k in itertools.product(suites, range(prompts), range(samples))
    ]
    return pd.DataFrame(rows).assign(**columns).astype({"harmful": "boolean"})
