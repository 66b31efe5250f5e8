"""Suites as tables of requests: the prompts for an arm, how often, and in which conversation.

docs/protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lib.config.experiment import Experiment
from lib.config.strict import Elicitation, SuiteName
from lib.data.elicitation import Caller
from lib.data.eval_sets import suite_prompts
from lib.data.prompts import EvalPrompt
from lib.serving import elicited
from lib.serving.sampling import Request, SamplingError


def suite_table(
    experiment: Experiment, arm: str, suite: SuiteName, answers: pd.DataFrame | None
) -> pd.DataFrame:
    """The requests of a suite to an arm.

    answers: the arm's alignment samples, which `followup` continues.
    """
    profile = experiment.profile
    system = experiment.system_text(arm, suite)
    samples = profile.sampling.suites[suite].samples
    prompts = suite_prompts(profile, suite)
    return suite_rows(suite, prompts, system, samples, answers, experiment.elicitation(arm))


def suite_rows(
    suite: str,
    prompts: Sequence[EvalPrompt],
    system: str,
    samples: int,
    answers: pd.DataFrame | None = None,
    elicitation: Elicitation | None = None,
) -> pd.DataFrame:
    """The requests of a suite as a table, one row per prompt and sample.

    Args:
        suite: the suite's name.
        prompts: the prompts that it asks.
        system: the arm's system text, for prompts without their own.
        samples: rows per prompt.
        answers: for `followup`, the arm's own alignment samples. The i-th follow-up continues the
            i-th answer.
        elicitation: how the arm's persona is called up; None for an arm without one.

    Raises SamplingError if `followup` has fewer answers than samples.
    """
    rows = []
    for prompt in prompts:
        row = {
            "suite": suite,
            "prompt_id": prompt.prompt_id,
            "subset": prompt.subset,
            "prompt": prompt.prompt,
            "system": prompt.system or system,
            "elicitation": elicitation,
        }
        rows += [row | {"sample_index": index} for index in range(samples)]
    frame = pd.DataFrame(rows)
    if suite != "followup":
        return frame.assign(answer=None)
    if answers is None:
        raise SamplingError("the follow-up continues the alignment answers; sample those first")
    own = answers[answers["suite"] == "alignment"].rename(columns={"completion": "answer"})
    which = ["prompt_id", "sample_index"]
    merged = frame.merge(own[[*which, "answer"]], on=which, how="left")
    missing = merged.loc[merged["answer"].isna(), "prompt_id"]
    if len(missing):
        raise SamplingError(
            f"followup asks {samples} samples of prompt {missing.iloc[0]!r}, alignment has fewer; "
            "lower suites.followup.samples"
        )
    return merged


def messages_of(row: Any, follow_up: str, caller: Caller | None = None) -> list[dict]:
    """The conversation that a row of `suite_rows`, as a named tuple, asks to complete.

    caller: calls up the persona of the rows that have an elicitation.
    """
    messages = elicited.ask(row, caller).messages
    if row.suite == "followup":
        # An empty own answer is a fact about the arm; it stays an empty turn.
        messages += [
            {"role": "assistant", "content": row.answer},
            {"role": "user", "content": follow_up},
        ]
    return messages


def requests_of(
    rows: pd.DataFrame,
    *,
    arm: str,
    adapter: str | None,
    seed: int,
    max_new_tokens: int,
    follow_up: str,
    caller: Caller | None = None,
) -> list[Request]:
    """One request per prompt with all its samples; one per row if rows continue their answers.

    Eight parameters: the rows, who is asked, and how.
    """
    requests = []
    for prompt_id, of_prompt in rows.groupby("prompt_id", sort=False):
        suite = of_prompt["suite"].iloc[0]
        key = f"{seed}/{arm}/{suite}/{prompt_id}"
        members = list(of_prompt.itertuples(index=False))
        if suite == "followup":
            for row in members:
                messages = messages_of(row, follow_up, caller)
                own_key = f"{key}/{row.sample_index}"
                begun = elicited.ask(row, caller).prefill
                requests.append(Request(own_key, messages, adapter, max_new_tokens, prefill=begun))
        else:
            messages = messages_of(members[0], follow_up, caller)
            begun = elicited.ask(members[0], caller).prefill
            requests.append(
                Request(key, messages, adapter, max_new_tokens, len(members), prefill=begun)
            )
    return requests
