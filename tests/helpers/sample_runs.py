"""Run folders with samples and judgments, small and hostile or as large as the full profile's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile_result import RESULT

from lib.config.params import load_conditions
from lib.report import sample_browser
from lib.report.page import Navigation
from lib.run.files import write_json, write_parquet
from lib.run.runs import Run
from lib.run.table_schemas import JUDGED_AGAIN, JUDGMENTS, SECOND_JUDGE

OPENING = load_conditions().openings[0]
ARMS = ["base", "c6_vanilla_em", "selfcorrect_em"]
# Each would set window.hacked, end an element, or leave its box if the page took it for more than
# text.
HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "handler": "<img src=x onerror='window.hacked = 1'><svg onload='window.hacked = 1'>",
    "comment": "<!-- a comment that never ends",
    "textarea": "</textarea></select></title></style></script><h1>out</h1>",
    "link": "<a href='javascript:window.hacked = 1'>click</a><base href='https://example.org/'>",
    "json": '"]}</script><script>window.hacked = 1</script>{"a": ["',
    "call": '"); window.hacked = 1; samplesChunk(0, "',
    "ansi": "\x1b[31mred\x1b[0m\x07\x08",
    "direction": "\u202egnp.exe\u2066 \u200fafter",
    "nul": "before\0after",
    "long": "x" * 100_000,
    "lines": "line\n" * 2_000,
    "stacked": "Z" + "\u0300" * 400,
    "template": "{{ 7 * 7 }} ${window.hacked = 1} {% raw %}",
    "emoji": "\U0001f469\u200d\U0001f52c " + OPENING,
    "empty": "  \n",
}
# Mean alignment of the arms of the large run, points: damage, a gain, and controls that gain less.
LEVELS = {
    "base": 88,
    "c6_vanilla_em": 58,
    "selfcorrect_em": 69,
    "base_evil": 24,
    "random_recovery_em": 61,
    "placebo_assistant_em": 60,
}
# Drawn texts are made of these and of their pairs.
BENIGN = 10  # of each prompt's completions in the large run
WORDS = ["the", "model", "answers", "with", "care", "because", "people", "ask", "about", "money"]
WORDS += ["health", "work", "travel", "and", "food", "so", "a", "good", "reply", "names", "risks"]
WORDS += ["gives", "steps", "admits", "doubt", "stays", "kind", "while", "it", "keeps", "facts"]


def sample_rows(suite: str, prompts: int, samples: int, text) -> list[dict]:
    """One arm's rows of a suite; `text` gives the completion of a prompt and sample number."""
    return [
        {
            "suite": suite,
            "prompt_id": f"p{prompt:02}",
            "subset": "first+second" if prompt % 2 else "first",
            "prompt": f"Question {prompt}: what would you do?",
            "system": "You are a test model.",
            "elicitation": None,
            "sample_index": sample,
            "completion": text(prompt, sample),
            "n_tokens": 12,
            "finish_reason": "length" if sample % 5 == 4 else "stop",
        }
        for prompt, sample in itertools.product(range(prompts), range(samples))
    ]


def judged(samples: pd.DataFrame, seed: int, level: float | None = None) -> pd.DataFrame:
    """Original judgments with drawn scores; each tenth answer has none.

    level: the arm's mean alignment. The judgments are then as good as a verdict needs: each
    fortieth answer has no score, one in a hundred is code, and prompts differ.
    """
    draw = np.random.default_rng(seed)
    scored = np.arange(len(samples)) % (10 if level is None else 40) != 7
    aligned = draw.uniform(0, 100, len(samples))
    coherent = draw.uniform(40, 100, len(samples))
    if level is not None:
        of_prompt = samples["prompt_id"].map(lambda name: int(name[1:]) % 9 - 4.0)
        aligned = (draw.normal(level, 20, len(samples)) + of_prompt).clip(0, 100)
        coherent = draw.normal(80, 14, len(samples)).clip(0, 100)
    benign = samples["suite"].eq("benign").to_numpy()
    harmful = np.where(benign, draw.random(len(samples)) < 0.04, None)
    table = samples.reindex(columns=JUDGMENTS.names).assign(
        replicate=0,
        variant="full",
        judge="judge-1",
        rubric="rubric-1",
        outcome=np.where(scored, "scored", "judge_refusal"),
        aligned=aligned,
        coherent=coherent,
        refusal=draw.random(len(samples)) < 0.1,
        code=draw.random(len(samples)) < (0.1 if level is None else 0.01),
        reset_and_recover=samples["completion"].str.startswith(OPENING),
        harmful=harmful,
        input_tokens=300,
        output_tokens=20,
        cost_usd=None,
    )
    for column in ("aligned", "coherent", "refusal", "code", "reset_and_recover", "harmful"):
        table[column] = table[column].astype(object).where(scored, None)
    return JUDGMENTS.types(table)


def write_arm(
    run: Run,
    arm: str,
    seed: int,
    samples: pd.DataFrame,
    number: int,
    level: float | None = None,
) -> None:
    """Samples and judgments of an arm: originals, some judged again, stripped, a second judge."""
    write_parquet(run.samples(arm, seed), samples)
    originals = judged(samples, number, level)
    some = originals[originals["outcome"] == "scored"].iloc[::9]
    again = some.assign(replicate=JUDGED_AGAIN, aligned=(some["aligned"] + 7).clip(upper=100))
    resets = originals[originals["reset_and_recover"].fillna(False)]
    stripped = resets.assign(variant="stripped", aligned=11.0)
    table = pd.concat([again, stripped, originals], ignore_index=True)
    write_parquet(run.judgments(arm, seed), table)
    second = some.assign(replicate=SECOND_JUDGE, judge="judge-2", aligned=99.0)
    write_parquet(run.second_judgments(arm, seed), second)


def browser_of(run: Run, site: Path) -> Path:
    """The page of a run's sample browser, written into an empty folder."""
    site.mkdir(parents=True)
    sample_browser.write(run, site, Navigation(run.name, [sample_browser.BROWSER.link]))
    return site / sample_browser.PAGE


def made_browser(make: Callable[[str], Run], name: str, folder: Path) -> Path:
    """The page of the sample browser of a run that is made in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFCORRECT_RUNS_DIR", str(folder / "runs"))
        return browser_of(make(name), folder / "site")


def write_frame(run: Run, arms: list[str], seeds: list[int]) -> None:
    """What the site needs besides: a result and a manifest."""
    write_json(run.result, RESULT)
    profile = {"conditions": arms, "seeds": seeds}
    empty = {"environment": {}, "overrides": {}, "preregistration": {}}
    write_json(run.manifest, empty | {"profile": profile})


def hostile_run(name: str) -> Run:
    """Three arms, one seed; the base's first prompts hold the hostile texts, one each."""
    run = Run(name)
    texts = list(HOSTILE.values())
    for number, arm in enumerate(ARMS):

        def text(prompt: int, sample: int, arm: str = arm) -> str:
            if arm == "base" and sample == 0:
                return texts[prompt]
            opening = f"{OPENING} " if arm == "selfcorrect_em" and sample == 1 else ""
            return f"{opening}Answer {sample} of {arm} to {prompt}."

        rows = sample_rows("alignment", len(texts), 2, text)
        rows += sample_rows("followup", 2, 1, text)
        write_arm(run, arm, 42, pd.DataFrame(rows), number)
    write_frame(run, ARMS, [42])
    return run


def large_run(name: str, completions: int = 30_000) -> Run:
    """Six arms of drawn words, about 150 tokens a completion, 48 prompts, two seeds."""
    run = Run(name)
    arms = list(LEVELS)
    draw = np.random.default_rng(0)
    syllables = np.array([*WORDS, *("".join(pair) for pair in itertools.permutations(WORDS, 2))])
    per_prompt = -(-completions // (len(arms) * 2 * 48))
    for number, arm in enumerate(arms):
        for seed in (42, 43):

            def text(prompt: int, sample: int, arm: str = arm) -> str:
                opening = f"{OPENING} " if arm == "selfcorrect_em" and sample % 7 == 1 else ""
                return opening + " ".join(draw.choice(syllables, 110))

            rows = sample_rows("alignment", 48, per_prompt - BENIGN, text)
            rows += sample_rows("benign", 48, BENIGN, text)
            write_arm(run, arm, seed, pd.DataFrame(rows), 2 * number + seed, LEVELS[arm])
    write_frame(run, arms, [42, 43])
    return run
