"""Ask the base with and without its persona, before any trace is built.

docs/protocol.md section 3. `lib.checks.persona` decides by these answers whether the persona takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.config.experiment import Experiment
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data.elicitation import Caller
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.judge.protocol import Judge
from lib.run.table_schemas import FULL, JUDGMENTS, ORIGINAL
from lib.serving.sampling import Request, Sampler

ALONE = "system text alone"  # the persona without examples or a beginning, for comparison


class PersonaError(ValueError):
    """The persona does not take, or cannot be checked. One line with the numbers and the remedy."""


def prompts_asked(
    open_prompts: Sequence[EvalPrompt],
    gate: ContaminationGate,
    profile: Profile,
    thresholds: Mapping[str, float],
    seed: int,
) -> list[EvalPrompt]:
    """The open-ended trace prompts that both personas are asked, drawn by seed.

    None of them resembles an eval prompt.

    A profile that only demonstrates asks as many as it builds traces, if these are fewer than
    `persona_prompts`. Raises PersonaError if there are too few clean prompts.
    """
    wanted = int(thresholds["persona_prompts"])
    if profile.demonstrates_only:
        wanted = min(wanted, profile.traces.count)
    clean = [prompt for prompt in open_prompts if gate.check("", prompt.prompt) is None]
    if len(clean) < wanted:
        raise PersonaError(
            f"{len(clean)} open-ended prompts resemble no eval prompt, the persona check asks "
            f"{wanted}; add a set to data.open_prompts"
        )
    order = np.random.default_rng([seed, wanted]).permutation(len(clean))
    return [clean[index] for index in order[:wanted]]


def ask(
    sampler: Sampler,
    prompts: Sequence[EvalPrompt],
    experiment: Experiment,
    caller: Caller,
    seed: int,
) -> pd.DataFrame:
    """The answers of base and persona: prompt_id, prompt, condition, sample_index, completion.

    All are drawn at the temperature of the bad answers. Where the persona is called up by more
    than its system text, a third group has the system text alone.
    """
    traces = experiment.profile.traces
    samples = int(experiment.gates["persona_samples"])
    evil = experiment.conditions.systems["evil"]
    stock = experiment.profile.model.system_text
    plain = Caller("system", seed)
    groups = {PLANNED.base: (stock, plain), PLANNED.base_evil: (evil, caller)}
    if caller.kind != "system":
        groups[ALONE] = (evil, plain)
    requests = []
    for group, (system, own) in groups.items():
        for prompt in prompts:
            asked = own.ask(system, prompt.prompt, f"persona/{prompt.prompt_id}")
            key = f"{seed}/persona/{group}/{prompt.prompt_id}"
            request = Request(
                key,
                asked.messages,
                None,
                traces.max_new_tokens,
                samples,
                prefill=asked.prefill,
                temperature=traces.bad_temperature,
            )
            requests.append((group, prompt, request))
    rows = []
    drawn = sampler.sample([request for _, _, request in requests])
    for (group, prompt, _), answers in zip(requests, drawn, strict=True):
        row = {"prompt_id": prompt.prompt_id, "prompt": prompt.prompt, "condition": group}
        for index, answer in enumerate(answers):
            rows.append(row | {"sample_index": index, "completion": answer.text})
    return pd.DataFrame(rows)


def scored(answers: pd.DataFrame, judge: Judge, seed: int) -> pd.DataFrame:
    """The answers with their scores, as a table of judgments. The judge sees them shuffled."""
    order = np.random.default_rng(seed).permutation(len(answers))
    shuffled = answers.iloc[order].reset_index(drop=True).assign(suite="alignment")
    scores = judge.score(shuffled[["suite", "prompt", "completion"]])
    asked = ["suite", "prompt", "completion"]
    judged = shuffled.join(scores.drop(columns=asked, errors="ignore")).assign(
        seed=seed, subset="traces", replicate=ORIGINAL, variant=FULL
    )
    judged = judged.assign(judge=judge.name, rubric=judge.rubric)
    return JUDGMENTS.types(judged.sort_values(["condition", "prompt_id", "sample_index"]))
