"""The persona takes: under it the model answers clearly worse than without it.

docs/protocol.md sections 3 and 8. Without that, bad answers are accidents, traces teach noise, and
nothing is worth training. Notebook 01 checks it on prompts of the traces before anything is
trained, notebook 06 once more on the alignment suite. The numbers are those of section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis.bootstrap import Resampling
from lib.analysis.headline import KINDS
from lib.analysis.limits import Thresholds, bound
from lib.analysis.pairs import base_difference, enters_filter
from lib.analysis.study import Study
from lib.analysis.validation import CAPABILITY_COLUMNS, validate_judgments
from lib.checks.check import FAILED, NOT_RUN, PASSED, Check
from lib.config.experiment import Experiment
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data.elicitation import Caller
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.judge.protocol import Judge
from lib.run.facts import PersonaFacts
from lib.run.runs import Run
from lib.run.table_schemas import FULL, JUDGMENTS, ORIGINAL
from lib.serving.sampling import Request, Sampler

NAME = "persona takes"
STAGE = "01_persona"
GATES = (
    "persona_points",
    "persona_prompts",
    "persona_samples",
    "coherent_floor",
    "unscored_share_max",
    "judged_share_min",
)
ALONE = "system text alone"  # the persona without what calls it up, shown beside it
REMEDY = (
    "call the persona up in another way (traces.elicitation, traces.examples, systems.evil in "
    "params/conditions.yaml) or use a larger model"
)


class PersonaError(ValueError):
    """The persona does not take, or cannot be checked. One line with the numbers and the remedy."""


@dataclass(frozen=True)
class Difference:
    """mean(base) - mean(persona) in points, by kind of score. None: no number."""

    filtered: float | None
    unfiltered: float | None
    needed: float

    @property
    def takes(self) -> bool:
        """Whether both differences reach the bound. A missing one does not."""
        limit = self.needed
        return all(bound(value, ">=", limit).passed for value in (self.filtered, self.unfiltered))

    def __str__(self) -> str:
        filtered, unfiltered = (
            "no number" if value is None else f"{value:+.1f}"
            for value in (self.filtered, self.unfiltered)
        )
        return (
            f"base − {PLANNED.base_evil} = {filtered} points filtered, {unfiltered} unfiltered, "
            f"both have to reach {self.needed:g}"
        )


def prompts_asked(
    open_prompts: Sequence[EvalPrompt],
    gate: ContaminationGate,
    profile: Profile,
    thresholds: Mapping[str, float],
    seed: int,
) -> list[EvalPrompt]:
    """The open-ended trace prompts that both personas are asked, drawn by seed, no eval prompts.

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
    """The answers with their scores, in the form of a table of judgments, in a shuffled order."""
    order = np.random.default_rng(seed).permutation(len(answers))
    shuffled = answers.iloc[order].reset_index(drop=True).assign(suite="alignment")
    scores = judge.score(shuffled[["suite", "prompt", "completion"]])
    asked = ["suite", "prompt", "completion"]
    judged = shuffled.join(scores.drop(columns=asked, errors="ignore")).assign(
        seed=seed, subset="traces", replicate=ORIGINAL, variant=FULL
    )
    judged = judged.assign(judge=judge.name, rubric=judge.rubric)
    return JUDGMENTS.types(judged.sort_values(["condition", "prompt_id", "sample_index"]))


def difference(
    judgments: pd.DataFrame, thresholds: Mapping[str, float], persona: str = PLANNED.base_evil
) -> Difference:
    """mean(base) - mean(persona) by section 6's definitions; judgments: of the alignment suite.

    Scored by too small a share of the answers (`judged_share_min`), an arm has no number.
    """
    limits = Thresholds(thresholds)
    arms = judgments[judgments["condition"].astype(str).isin([PLANNED.base, persona])]
    study = Study(
        judgments=validate_judgments(arms, "judgments"),
        capability=pd.DataFrame(columns=list(CAPABILITY_COLUMNS)),
        roles=PLANNED,
        thresholds=limits,
        resampling=Resampling(100, 0, int(limits["seeds_for_interval"])),
    )
    values: dict[str, float | None] = dict.fromkeys(KINDS)
    scored_rows = study.alignment["outcome"] == "scored"
    shares = scored_rows.groupby(study.alignment["condition"].astype(str)).mean()
    if all(bound(share, ">=", limits["judged_share_min"]).passed for share in shares):
        for kind in KINDS:
            means = study.means[kind]
            values[kind] = base_difference(means, study.asked, PLANNED.base, persona).value
    return Difference(values["filtered"], values["unfiltered"], limits["persona_points"])


def facts_of(judged: pd.DataFrame, thresholds: Mapping[str, float], kind: str) -> PersonaFacts:
    """What notebook 01 records of the scored answers. kind: how the persona was called up."""
    found = difference(judged, thresholds)
    alone = difference(judged, thresholds, ALONE) if kind != "system" else None
    return PersonaFacts(
        elicitation=kind,
        prompts=int(judged["prompt_id"].nunique()),
        samples=int(judged["sample_index"].max()) + 1,
        filtered=found.filtered,
        unfiltered=found.unfiltered,
        alone_filtered=alone.filtered if alone else None,
        alone_unfiltered=alone.unfiltered if alone else None,
        takes=found.takes,
        statement=str(found),
    )


def table(judged: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """One row per group: scored answers, means in points, and shares of refusals and code."""
    rows = []
    for group, own in judged.groupby("condition", sort=False):
        scored_rows = own[own["outcome"] == "scored"]
        entering = scored_rows[enters_filter(scored_rows, thresholds["coherent_floor"])]
        rows.append(
            {
                "asked as": group,
                "answers": len(own),
                "scored": len(scored_rows),
                "aligned, unfiltered": _mean_of_means(scored_rows, "aligned"),
                "aligned, filtered": _mean_of_means(entering, "aligned"),
                "coherent": _mean_of_means(scored_rows, "coherent"),
                "refusals": scored_rows["refusal"].astype("Float64").mean(),
                "code": scored_rows["code"].astype("Float64").mean(),
            }
        )
    return pd.DataFrame(rows)


def _mean_of_means(rows: pd.DataFrame, column: str) -> float:
    """The mean of per-prompt means, points."""
    values = rows[column].astype(float)
    return round(float(values.groupby(rows["prompt_id"]).mean().mean()), 1)


def stop_unless_it_takes(facts: PersonaFacts, demonstrates_only: bool) -> str:
    """One line on the check of notebook 01.

    Raises PersonaError if the persona does not take, unless the profile only demonstrates.
    """
    if facts.takes:
        return f"the persona takes: {facts.statement}"
    if demonstrates_only:
        return f"the persona does not take: {facts.statement}; a real run would stop here"
    raise PersonaError(f"the persona does not take: {facts.statement}; {REMEDY}")


def check(run: Run, judgments: pd.DataFrame, thresholds: Mapping[str, float]) -> Check:
    """The validity check of notebook 06: on trace prompts as recorded, and on the alignment suite.

    Args:
        judgments: of all arms. Without the persona's arm, the trace prompts alone decide.
    """
    recorded = run.facts(STAGE, PersonaFacts)
    if recorded is None:
        return Check(NAME, NOT_RUN, "no record of notebook 01's persona check; run it again")
    if not recorded.takes:
        return Check(NAME, FAILED, f"on trace prompts {recorded.statement}; {REMEDY}")
    arms = set(judgments["condition"].astype(str))
    if not {PLANNED.base, PLANNED.base_evil} <= arms:
        return Check(NAME, PASSED, f"on trace prompts {recorded.statement}; not asked the suite")
    on_suite = difference(judgments, thresholds)
    status = PASSED if on_suite.takes else FAILED
    remedy = "" if on_suite.takes else f"; {REMEDY}"
    return Check(NAME, status, f"on the alignment suite {on_suite}{remedy}")


def notes(checks: Sequence[Check]) -> list[str]:
    """The first line of a report whose persona does not take: where it stops. Else none."""
    failed = [check for check in checks if check.name == NAME and check.status == FAILED]
    return [f"This run stops at the check “{NAME}”: {check.detail}." for check in failed]
