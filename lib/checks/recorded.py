"""The validity checks of docs/protocol.md section 8, by a run's manifests and samples.

Each stage checks while it runs and stops if something is wrong. Here the records of these checks
are read again, so that no verdict rests on a check that did not run. Judgments from elsewhere have
no such records: their checks count as not run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lib.checks import served
from lib.checks.check import FAILED, NOT_RUN, PASSED, Check
from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.schema import Conditions, Profile
from lib.run.facts import Phase1Facts, Phase2Facts, TraceFacts, TrainingFacts
from lib.run.runs import FactsOf, Run
from lib.training.stacking import JOIN_TOLERANCE

Phase2ByRun = Mapping[str, Phase2Facts | None]
NAMES = (
    "loss mask",
    "phase 1 active",
    "joined adapter",
    "checkpoints differ",
    "engine serves them",
    "contamination",
    "equal phase-2 steps",
    "prompts explicit and identical",
    "one recipe, one chain",
    "judgments complete and unaltered",
    "persona takes",
)
NO_PHASE2_RECORD = "an arm's Phase-2 record is missing"


def collect(run: Run, profile: Profile, conditions: Conditions) -> list[Check]:
    """Every check of section 8 for a run of this project."""
    experiment = Experiment(profile, conditions, load_gates())
    kinds = experiment.phase1_kinds(experiment.arms)
    phase1 = _facts_by_run(run, "02_phase1_sft", kinds, experiment.seeds, Phase1Facts)
    phase2 = _facts_by_run(
        run, "03_phase2_em", experiment.phase2_arms(), experiment.seeds, Phase2Facts
    )
    treated = set(experiment.treated())
    traces = run.facts("01_build_traces", TraceFacts)
    return [
        loss_masks(phase1 | phase2),
        _phase1_active(phase2, treated),
        _joined(phase2, treated, profile.phase2.mode),
        served.distinct_checkpoints(run, experiment),
        served.engine_parity(run, profile),
        _contamination(traces, phase2),
        _equal_steps(phase2),
        served.same_prompts(run, experiment),
    ]


def failed(checks: Iterable[Check], *, own_run: bool = True) -> list[str]:
    """One line for each failed check, for gate 0.

    own_run: whether the run was made by this project. There, a check that did not run counts as
    failed too.
    """
    bad = (FAILED, NOT_RUN) if own_run else (FAILED,)
    return [
        f"{check.name} ({check.status}): {check.detail}" for check in checks if check.status in bad
    ]


def not_run(reason: str) -> list[Check]:
    """All checks as not run, for judgments that come without their artifacts."""
    return [Check(name, NOT_RUN, reason) for name in NAMES]


def as_frame(checks: Iterable[Check]) -> pd.DataFrame:
    """One row per check: name, status, detail."""
    return pd.DataFrame([check.__dict__ for check in checks])


def _facts_by_run(
    run: Run, notebook: str, names: Sequence[str], seeds: Sequence[int], kind: type[FactsOf]
) -> dict[str, FactsOf | None]:
    """The facts of a notebook's stages, by name and seed; None where a stage has no record."""
    facts = {}
    for seed, name in itertools.product(seeds, names):
        facts[f"{name}, seed {seed}"] = run.facts(f"{notebook}.{name}.seed{seed}", kind)
    return facts


def _complete(facts: Mapping[str, FactsOf | None]) -> dict[str, FactsOf] | None:
    """The facts if every stage has a record, else None."""
    recorded = {run_name: f for run_name, f in facts.items() if f is not None}
    return recorded if len(recorded) == len(facts) else None


def _of_arms(facts: Phase2ByRun, arms: set[str]) -> dict[str, Phase2Facts | None]:
    """The facts of some arms, in every seed."""
    return {run_name: f for run_name, f in facts.items() if run_name.split(",")[0] in arms}


def loss_masks(facts: Mapping[str, TrainingFacts | None]) -> Check:
    """Every row was trained with loss on exactly the assistant turns."""
    name = "loss mask"
    trainings = _complete(facts)
    if trainings is None:
        unrecorded = [run_name for run_name, f in facts.items() if f is None]
        return Check(name, NOT_RUN, f"no record of {unrecorded[0]}")
    for run_name, f in trainings.items():
        if f.rows_proven != f.rows:
            detail = (
                f"{f.rows_proven} of {f.rows} rows of {run_name} were trained once an epoch with "
                "loss on exactly the assistant turns; train it again"
            )
            return Check(name, FAILED, detail)
        if f.tokens_expected is not None and f.trained_tokens != f.tokens_expected:
            detail = (
                f"{run_name} was trained on {f.trained_tokens} tokens, its assistant turns have "
                f"{f.tokens_expected}; train it again"
            )
            return Check(name, FAILED, detail)
    n_rows = sum(f.rows for f in trainings.values())
    detail = (
        f"{n_rows} rows in {len(trainings)} runs: loss on exactly the assistant turns, none cut"
    )
    return Check(name, PASSED, detail)


def _phase1_active(phase2: Phase2ByRun, treated: set[str]) -> Check:
    """Phase 1 had an effect below Phase 2 in every treated arm."""
    name = "phase 1 active"
    facts = _complete(_of_arms(phase2, treated))
    if facts is None:
        return Check(name, NOT_RUN, NO_PHASE2_RECORD)
    stacked = {run_name: f for run_name, f in facts.items() if f.mode == "stack"}
    if not stacked:
        return Check(name, PASSED, "Phase 2 continued the Phase-1 adapter itself")
    effects = {run_name: f.phase1_effect for run_name, f in stacked.items() if f.phase1_effect}
    without_effect = [run_name for run_name in stacked if run_name not in effects]
    if without_effect:
        detail = f"Phase 1 had no effect below Phase 2 in {without_effect[0]}; train it again"
        return Check(name, FAILED, detail)
    least = min(effects.values())
    detail = f"without the Phase-1 adapter some logit changes by at least {least:.3g} in every run"
    return Check(name, PASSED, detail)


def _joined(phase2: Phase2ByRun, treated: set[str], mode: str) -> Check:
    """The joined adapter that is served computes what the stack of two computed."""
    name = "joined adapter"
    facts = _complete(_of_arms(phase2, treated))
    if facts is None:
        return Check(name, NOT_RUN, NO_PHASE2_RECORD)
    if mode != "stack":
        detail = "`continue` serves the trained adapter itself, nothing is joined"
        return Check(name, PASSED, detail)
    unmeasured = [run_name for run_name, f in facts.items() if f.join_difference is None]
    if unmeasured:
        detail = f"the join of {unmeasured[0]} was not compared with its stack; train it again"
        return Check(name, FAILED, detail)
    pairs = [
        (f.join_difference, f.join_bound or JOIN_TOLERANCE)
        for f in facts.values()
        if f.join_difference is not None
    ]
    worst, bound = max(pairs, key=lambda pair: pair[0] / pair[1], default=(0.0, JOIN_TOLERANCE))
    detail = f"largest logit difference to the stack: {worst:.2e}, bound {bound:.0e}"
    by_layer = [f.join_weight_difference for f in facts.values()]
    by_layer = [difference for difference in by_layer if difference is not None]
    if by_layer:
        detail += f"; of a layer's update, relative: {max(by_layer):.0e}"
    return Check(name, PASSED if worst <= bound else FAILED, detail)


def _contamination(traces: TraceFacts | None, phase2: Phase2ByRun) -> Check:
    """No text that was trained on resembles an eval prompt."""
    name = "contamination"
    facts = _complete(phase2)
    if traces is None or facts is None:
        return Check(name, NOT_RUN, "no record of notebook 01 or of an arm's Phase-2 set")
    left = traces.offenders_left + sum(f.offenders_left for f in facts.values())
    if left:
        detail = f"{left} training texts resemble an eval prompt; build traces and sets again"
        return Check(name, FAILED, detail)
    dropped_from_sets = max((len(f.offences) for f in facts.values()), default=0)
    dropped = len(traces.report["offences"]) + dropped_from_sets
    return Check(name, PASSED, f"{dropped} offenders dropped and listed, none left")


def _equal_steps(phase2: Phase2ByRun) -> Check:
    """All arms made equally many optimizer steps in Phase 2."""
    name = "equal phase-2 steps"
    facts = _complete(phase2)
    if facts is None:
        return Check(name, NOT_RUN, NO_PHASE2_RECORD)
    steps = {run_name: f.optimizer_steps for run_name, f in facts.items()}
    if len(set(steps.values())) > 1:
        detail = f"optimizer steps differ: {steps}; train all arms on equally many rows"
        return Check(name, FAILED, detail)
    n_steps = next(iter(steps.values()), 0)
    return Check(name, PASSED, f"{n_steps} optimizer steps in each of {len(steps)} runs")
