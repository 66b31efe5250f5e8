"""What the rest of a run will take: machine hours, GPU-hours, disk and dollars for judges.

Every number says what it is based on. What nothing tells is None, never 0.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lib.config.arguments import ParamsError
from lib.config.judges import selecting_judge
from lib.config.strict import SuiteName
from lib.data import eval_sets
from lib.judge.llm.prices import ANSWER_TOKENS, CHARACTERS, model_facts
from lib.judge.llm.rubric import rubric_of
from lib.planning import measured, needs
from lib.planning.planned_run import PlannedRun
from lib.report import remaining
from lib.report.stage_states import FINISHED, StageState
from lib.run.plan import WITHOUT_NOTEBOOK
from lib.run.runs import Run, runs_root

RULES = {  # of the Snakefile, by the number of the notebook
    "01": "build_traces",
    "02": "phase1",
    "03": "phase2",
    "04": "sample",
    "05": "judge",
    "06": "stats",
}


@dataclass(frozen=True)
class Amount:
    """One projected number."""

    value: float | None
    """None: not known."""

    basis: str
    """What it is based on, or why it is not known."""


@dataclass(frozen=True)
class NotebookTime:
    """The unfinished stages of one notebook."""

    notebook: str
    seconds: Amount
    gpu: bool
    """Whether its jobs hold a GPU."""


@dataclass(frozen=True)
class Asked:
    """One suite of a run, all arms and seeds together."""

    answers: int

    longest: int
    """Tokens that one answer may have."""


def asked(one: PlannedRun) -> dict[SuiteName, Asked] | None:
    """What notebook 04 will sample, by suite. None if an eval set cannot be had."""
    experiment = one.plan.experiment
    found = {}
    for suite, params in experiment.profile.sampling.suites.items():
        try:
            prompts = len(eval_sets.suite_prompts(experiment.profile, suite))
        except (OSError, ValueError):
            return None
        arms = [arm for arm in experiment.arms if suite in experiment.suites(arm)]
        answers = prompts * params.samples * len(arms) * len(experiment.seeds)
        found[suite] = Asked(answers, params.max_new_tokens)
    return found


def notebooks(
    one: PlannedRun,
    states: Sequence[StageState],
    suites: Mapping[SuiteName, Asked] | None,
    gpus_here: int,
) -> list[NotebookTime]:
    """How long each unfinished notebook will take.

    Args:
        one: the run.
        states: its stages, as `lib.report.stage_states.read` finds them.
        suites: of `asked`.
        gpus_here: GPUs of this host.
    """
    tokens = None if suites is None else sum(of.answers * of.longest for of in suites.values())
    unfinished: dict[str, list[StageState]] = {}
    for state in states:
        if state.state != FINISHED and state.name not in WITHOUT_NOTEBOOK:
            unfinished.setdefault(state.name.partition(".")[0], []).append(state)
    times = []
    for notebook, stages in unfinished.items():
        rule = RULES[notebook[:2]]
        gpu = bool(needs.gpus(rule, one.profile, gpus_here))
        times.append(NotebookTime(notebook, _seconds(one, states, stages, tokens), gpu))
    return times


def _seconds(
    one: PlannedRun,
    states: Sequence[StageState],
    unfinished: Sequence[StageState],
    tokens: int | None,
) -> Amount:
    """Of one notebook's unfinished stages: by the rate of finished ones, else by a benchmark."""
    left = remaining.estimate(one.run, one.plan, unfinished)
    if not left.unknown:
        return Amount(left.seconds, "finished stages of this profile")
    notebook = unfinished[0].name.partition(".")[0]
    whole = measured.seconds(one.plan.experiment, notebook, tokens)
    if whole is None:
        return Amount(None, "never measured for this profile")
    of_notebook = [state for state in states if state.name.partition(".")[0] == notebook]
    return Amount(whole[0] * len(unfinished) / len(of_notebook), whole[1])


def dollars(
    one: PlannedRun, states: Sequence[StageState], suites: Mapping[SuiteName, Asked] | None
) -> dict[str, Amount]:
    """What judging will cost, by stage. A judge that nobody is paid for is not listed."""
    finished = {state.name for state in states if state.state == FINISHED}
    amounts = {}
    selecting = selecting_judge(one.profile)
    if "01_build_traces" not in finished and selecting.engine == "anthropic":
        amounts["traces"] = Amount(None, "how many answers are rejected shows only in notebook 01")
    if "05_judge" not in finished and one.profile.judge.engine == "anthropic":
        amounts["verdict"] = _session(one, suites)
    if one.profile.validity.second and "05_judge" not in finished:
        amounts["second judge"] = Amount(None, "its share is drawn when the answers are there")
    return amounts


def _session(one: PlannedRun, suites: Mapping[SuiteName, Asked] | None) -> Amount:
    """The session that gives the verdict, every answer at its longest."""
    judge = one.profile.judge
    if suites is None:
        return Amount(None, "an eval set is missing here; set SELFCORRECT_DATA_DIR to their folder")
    try:
        price, _, date = model_facts(judge.model)
    except ParamsError as error:
        return Amount(None, str(error))
    share = 1 + (one.plan.experiment.gates["retest_share"] if judge.retest else 0.0)
    requests = sum(of.answers for of in suites.values()) * share
    tokens_in = 0.0
    for suite, of in suites.items():
        tokens_in += share * of.answers * (len(rubric_of(suite).system) / CHARACTERS + of.longest)
    interface = "in batches" if judge.batch else "in real time"
    basis = (
        f"{requests:,.0f} requests {interface}, every answer at its longest, prices of {date}; "
        "prompts, answers without their opening and repeated requests come on top"
    )
    tokens_out = round(ANSWER_TOKENS * requests)
    return Amount(price.cost(round(tokens_in), tokens_out, judge.batch), basis)


def disk(one: PlannedRun) -> Amount:
    """Bytes that the run will have on disk, by another run of the profile that has a result."""
    units = len(one.plan.experiment.arms) * len(one.profile.seeds)
    for other in remaining.others(one.run, one.plan):
        if not other.result.exists():
            continue
        n_others = len(other.sampled())
        if n_others:
            size = folder_bytes(other)
            return Amount(size * units / n_others, f"run {other.name}, per arm and seed")
    return Amount(None, "no run of this profile has a result here")


def folder_bytes(run: Run) -> int:
    """The size of a run's folder."""
    return sum(path.stat().st_size for path in run.dir.rglob("*") if path.is_file())


def free_bytes() -> int:
    """What is free where the runs are."""
    folder = runs_root()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def total(amounts: Iterable[Amount]) -> tuple[float | None, int]:
    """The sum of what is known, None if nothing is, and how many are not known."""
    listed = list(amounts)
    known = [amount.value for amount in listed if amount.value is not None]
    return (sum(known) if known else None), len(listed) - len(known)
