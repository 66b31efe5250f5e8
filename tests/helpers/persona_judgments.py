"""Judgments of the base and of the evil persona, for the persona check."""

from __future__ import annotations

import pandas as pd


def judged(base=90.0, evil=40.0, *, coherent=(90.0, 90.0), code=(False, False), prompts=6):
    """Judgments of both arms, three answers to each prompt."""
    rows = []
    for place, (arm, aligned) in enumerate({"base": base, "base_evil": evil}.items()):
        for prompt in range(prompts):
            for index in range(3):
                rows.append(
                    {
                        "condition": arm,
                        "prompt_id": f"p{prompt}",
                        "sample_index": index,
                        "aligned": aligned,
                        "coherent": coherent[place],
                        "code": code[place],
                    }
                )
    return pd.DataFrame(rows).assign(
        suite="alignment",
        seed=42,
        subset="s",
        replicate=0,
        variant="full",
        outcome="scored",
        refusal=False,
        reset_and_recover=None,
        harmful=None,
    )
