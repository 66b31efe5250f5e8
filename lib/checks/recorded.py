"""The validity checks of docs/protocol.md section 8, gathered from a run's manifests and samples.

The stages check as they go and stop; here the record of it is read once more, so that a verdict never rests on a check
that did not run. A folder of judgments from elsewhere has no such record: its checks count as not run.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.schema import Conditions, Profile
from lib.run.facts import Phase1Facts, Phase2Facts, SamplingFacts, TraceFacts, TrainingFacts
from lib.run.runs import FactsOf, Run
from lib.training.adapters import JOIN_TOLERANCE, AdapterError, check_distinct

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class Check:
    """One validity check: what it guards, its status, and the numbers or the reason."""

    name: str
    status: str
    detail: str


def collect(run: Run, profile: Profile, conditions: Conditions) -> list[Check]:
    """Every check of section 8 for a run of this project."""
    experiment = Experiment(profile, conditions, load_gates())
    kinds = experiment.phase1_kinds(experiment.arms)
    phase1 = _by_name(run, "02_phase1_sft", kinds, experiment.seeds, Phase1Facts)
    phase2 = _by_name(run, "03_phase2_em", experiment.phase2_arms(), experiment.seeds, Phase2Facts)
    treated = set(experiment.treated())
    traces = run.facts("01_build_traces", TraceFacts)
    return [
        _masks(phase1 | phase2),
        _phase1_active(phase2, treated),
        _joined(phase2, treated, profile.phase2.mode),
        _distinct(run, experiment),
        _parity(run, profile),
        _contamination(traces, phase2),
        _equal_steps(phase2),
        _prompts(run, experiment),
    ]


def failed(checks: list[Check], *, own_run: bool = True) -> list[str]:
    """One line for each failed check, for gate 0; in a run of this project a check that did not run is no pass either."""
    bad = (FAILED, NOT_RUN) if own_run else (FAILED,)
    return [
        f"{check.name} ({check.status}): {check.detail}" for check in checks if check.status in bad
    ]


def as_frame(checks: list[Check]) -> pd.DataFrame:
    return pd.DataFrame([check.__dict__ for check in checks])


def not_run(reason: str) -> list[Check]:
    """All checks as not run, for judgments that come without their artifacts."""
    names = (
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
    )
    return [Check(name, NOT_RUN, reason) for name in names]


def _by_name(
    run: Run, notebook: str, names: Sequence[str], seeds: Sequence[int], kind: type[FactsOf]
) -> dict[str, FactsOf | None]:
    """The facts of a notebook's stages, by name and seed; None where a stage has no record."""
    facts = {}
    for seed, name in itertools.product(seeds, names):
        facts[f"{name}, seed {seed}"] = run.facts(f"{notebook}.{name}.seed{seed}", kind)
    return facts


def _masks(facts: Mapping[str, TrainingFacts | None]) -> Check:
    lacking = [name for name, f in facts.items() if f is None]
    if lacking:
        return Check("loss mask", NOT_RUN, f"no record of {lacking[0]}")
    for name, f in facts.items():
        if f.rows_proven != f.rows:
            return Check(
                "loss mask",
                FAILED,
                f"{f.rows_proven} of {f.rows} rows of {name} were "
                "trained once an epoch with loss on exactly the "
                "assistant turns; train it again",
            )
        if f.tokens_expected is not None and f.trained_tokens != f.tokens_expected:
            return Check(
                "loss mask",
                FAILED,
                f"{name} was trained on {f.trained_tokens} tokens, its "
                f"assistant turns have {f.tokens_expected}; train it again",
            )
    rows = sum(f.rows for f in facts.values())
    return Check(
        "loss mask",
        PASSED,
        f"{rows} rows in {len(facts)} runs: loss on exactly the assistant turns, none cut",
    )


def _phase1_active(phase2: Mapping[str, Phase2Facts | None], treated: set[str]) -> Check:
    name = "phase 1 active"
    facts = {k: f for k, f in phase2.items() if k.split(",")[0] in treated}
    if any(f is None for f in facts.values()):
        return Check(name, NOT_RUN, "an arm's Phase-2 record is missing")
    stacked = {k: f.phase1_effect for k, f in facts.items() if f.mode == "stack"}
    if not stacked:
        return Check(name, PASSED, "Phase 2 continued the Phase-1 adapter itself")
    dead = [k for k, effect in stacked.items() if not effect]
    if dead:
        return Check(
            name, FAILED, f"Phase 1 had no effect below Phase 2 in {dead[0]}; train it again"
        )
    return Check(name, PASSED, f"smallest logit effect below Phase 2: {min(stacked.values()):.3g}")


def _joined(phase2: Mapping[str, Phase2Facts | None], treated: set[str], mode: str) -> Check:
    name = "joined adapter"
    facts = {k: f for k, f in phase2.items() if k.split(",")[0] in treated}
    if any(f is None for f in facts.values()):
        return Check(name, NOT_RUN, "an arm's Phase-2 record is missing")
    if mode != "stack":
        return Check(
            name, PASSED, "`continue` serves the trained adapter itself, nothing is joined"
        )
    unmeasured = [k for k, f in facts.items() if f.join_difference is None]
    if unmeasured:
        return Check(
            name,
            FAILED,
            f"the join of {unmeasured[0]} was not compared with its stack; train it again",
        )
    pairs = [(f.join_difference, f.join_bound or JOIN_TOLERANCE) for f in facts.values()]
    worst, bound = max(pairs, key=lambda pair: pair[0] / pair[1], default=(0.0, JOIN_TOLERANCE))
    status = PASSED if worst <= bound else FAILED
    told = f"largest logit difference to the stack: {worst:.2e}, bound {bound:.0e}"
    weights = [f.join_weight_difference for f in facts.values()]
    weights = [difference for difference in weights if difference is not None]
    if weights:
        told += f"; of a layer's update, relative: {max(weights):.0e}"
    return Check(name, status, told)


def _distinct(run: Run, experiment: Experiment) -> Check:
    name, logprobs = "checkpoints differ", {}
    for seed in experiment.seeds:
        for condition in experiment.arms:
            path = run.logprobs(condition, seed)
            if not path.exists():
                return Check(
                    name,
                    NOT_RUN,
                    f"no log-probabilities of {condition}, seed {seed}; run notebook 04",
                )
            with np.load(path, allow_pickle=False) as file:
                checkpoint, values = str(file["checkpoint"]), file["logprobs"]
            if checkpoint != experiment.checkpoint(condition):
                return Check(
                    name,
                    FAILED,
                    f"{condition}, seed {seed} was sampled from {checkpoint}; run notebook 04 again",
                )
            # Untrained arms are one checkpoint under several system texts, the same in every seed.
            trained = experiment.has_adapter(condition)
            logprobs[f"{condition}/seed{seed}" if trained else checkpoint] = values
    try:
        nearest = check_distinct(logprobs)
    except AdapterError as error:
        return Check(name, FAILED, str(error))
    closest = min(nearest.values(), default=float("nan"))
    return Check(
        name,
        PASSED,
        f"{len(logprobs)} checkpoints; nearest pair {closest:.3g} apart in log-probability",
    )


def _parity(run: Run, profile: Profile) -> Check:
    """The engine that sampled every arm gave its checkpoint's log-probabilities, nearer to them than to any mistake's, for
    fixed tokens and for its own."""
    name, worst, engines = "engine serves them", (0.0, 0.0, ""), set()
    crossed = load_gates()["parity_crossed"]
    for seed in profile.seeds:
        for condition in profile.conditions:
            facts = run.facts(f"04_sample_and_capability.{condition}.seed{seed}", SamplingFacts)
            arm = f"{condition}, seed {seed}"
            for compared, values in (
                ("parity", "the engine's log-probabilities"),
                ("decoding", "those of tokens it draws"),
            ):
                found = getattr(facts, compared) if facts else None
                if not found:
                    return Check(
                        name,
                        NOT_RUN,
                        f"no comparison ({compared}) of engine and training stack for {arm}; run "
                        "notebook 04",
                    )
                if not (found["rms"] <= found["bound"] and (found["crossed"] or 0.0) <= crossed):
                    return Check(
                        name, FAILED, f"{arm}: {values} are not the trained ones; sample again"
                    )
                worst = max(worst, (found["rms"] / found["bound"], found["rms"], arm))
            engines = engines | {facts.engine}
    return Check(
        name,
        PASSED,
        f"{', '.join(sorted(engines))}: largest rms difference {worst[1]:.2g} ({worst[2]})",
    )


def _contamination(traces: TraceFacts | None, phase2: Mapping[str, Phase2Facts | None]) -> Check:
    name = "contamination"
    if traces is None or any(f is None for f in phase2.values()):
        return Check(name, NOT_RUN, "no record of notebook 01 or of an arm's Phase-2 set")
    left = traces.offenders_left + sum(f.offenders_left for f in phase2.values())
    of_sets = max((len(f.offences) for f in phase2.values()), default=0)
    dropped = len(traces.report["offences"]) + of_sets
    if left:
        return Check(
            name,
            FAILED,
            f"{left} training texts resemble an eval prompt; build traces and sets again",
        )
    return Check(name, PASSED, f"{dropped} offenders dropped and listed, none left")


def _equal_steps(phase2: Mapping[str, Phase2Facts | None]) -> Check:
    name = "equal phase-2 steps"
    if any(f is None for f in phase2.values()):
        return Check(name, NOT_RUN, "an arm's Phase-2 record is missing")
    steps = {k: f.optimizer_steps for k, f in phase2.items()}
    if len(set(steps.values())) > 1:
        return Check(
            name, FAILED, f"optimizer steps differ: {steps}; train all arms on equally many rows"
        )
    return Check(
        name,
        PASSED,
        f"{next(iter(steps.values()), 0)} optimizer steps in each of {len(steps)} runs",
    )


def _prompts(run: Run, experiment: Experiment) -> Check:
    """Every row has the system text that its suite says, and all arms were asked the same prompts equally often."""
    name, columns = "prompts explicit and identical", ["prompt_id", "prompt", "sample_index"]
    asked: dict[str, dict[str, frozenset]] = {}
    for seed in experiment.seeds:
        for condition in experiment.arms:
            path, arm = run.samples(condition, seed), f"{condition}, seed {seed}"
            if not path.exists():
                return Check(name, NOT_RUN, f"no samples of {arm}")
            rows = pd.read_parquet(path, columns=["suite", "system", *columns])
            if rows["system"].isna().any() or (rows["system"].str.strip() == "").any():
                return Check(
                    name, FAILED, f"{arm} has a request without system text; sample it again"
                )
            for suite, part in rows.groupby("suite"):
                expected = experiment.system_text(condition, suite)
                # training_cues carry system texts of their own; there the arms only have to agree.
                if suite != "training_cues" and set(part["system"]) != {expected}:
                    return Check(
                        name,
                        FAILED,
                        f"{arm}: {suite} requests carry another system text; sample it again",
                    )
                asked.setdefault(suite, {})[arm] = frozenset(
                    part[columns].itertuples(index=False, name=None)
                )
    for suite, by_arm in asked.items():
        arms = [arm for arm in experiment.arms if suite in experiment.suites(arm)]
        expecting = {
            f"{arm}, seed {seed}" for seed, arm in itertools.product(experiment.seeds, arms)
        }
        if by_arm.keys() != expecting:
            arm = min(by_arm.keys() ^ expecting)
            return Check(
                name,
                FAILED,
                f"{arm} and the others were not asked the same suites ({suite}); sample it again",
            )
        (reference, expected), *others = by_arm.items()
        for arm, prompts in others:
            if prompts != expected:
                return Check(
                    name,
                    FAILED,
                    f"{arm} was asked other {suite} prompts than {reference}; sample both again",
                )
    alignment = asked["alignment"]
    prompts = len({row[0] for row in next(iter(alignment.values()))})
    return Check(
        name,
        PASSED,
        f"{len(alignment)} samplings, {prompts} prompts; {', '.join(asked)}: requests all alike",
    )
