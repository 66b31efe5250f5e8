"""Checks of the sampling: checkpoints differ, the engine serves them, prompts are the same.

Source: docs/protocol.md section 8. The checks read the samples, the log-probabilities and the
manifests of notebook 04.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lib.checks.check import FAILED, NOT_RUN, PASSED, Check
from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.config.schema import Profile
from lib.run.facts import SamplingFacts
from lib.run.runs import Run
from lib.training.adapters import AdapterError
from lib.training.logits import check_distinct

REQUEST_COLUMNS = ["prompt_id", "prompt", "sample_index"]


def distinct_checkpoints(run: Run, experiment: Experiment) -> Check:
    """Check that no two sampled checkpoints have the same log-probabilities."""
    name = "checkpoints differ"
    logprobs: dict[str, np.ndarray] = {}
    for seed, condition in itertools.product(experiment.seeds, experiment.arms):
        path = run.logprobs(condition, seed)
        arm = f"{condition}, seed {seed}"
        if not path.exists():
            return Check(name, NOT_RUN, f"no log-probabilities of {arm}; run notebook 04")
        checkpoint, values = _read_logprobs(path)
        if checkpoint != experiment.checkpoint(condition):
            detail = f"{arm} was sampled from {checkpoint}; run notebook 04 again"
            return Check(name, FAILED, detail)
        # Untrained arms are one checkpoint under several system texts, the same in every seed.
        trained = experiment.has_adapter(condition)
        logprobs[f"{condition}/seed{seed}" if trained else checkpoint] = values
    try:
        nearest = check_distinct(logprobs)
    except AdapterError as error:
        return Check(name, FAILED, str(error))
    closest = min(nearest.values(), default=float("nan"))
    detail = f"{len(logprobs)} checkpoints; nearest pair {closest:.3g} apart in log-probability"
    return Check(name, PASSED, detail)


def _read_logprobs(path: Path) -> tuple[str, np.ndarray]:
    """The checkpoint that a file of log-probabilities names, and its values."""
    with np.load(path, allow_pickle=False) as file:
        return str(file["checkpoint"]), file["logprobs"]


def engine_parity(run: Run, profile: Profile) -> Check:
    """Check that the engine which sampled each arm served the checkpoint that was trained.

    Its log-probabilities are nearer to that checkpoint's than to any wrong checkpoint's, both for
    fixed tokens and for tokens that the engine drew.
    """
    name = "engine serves them"
    largest = (0.0, 0.0, "")  # rms over its bound, rms, arm
    engines: set[str] = set()
    crossed_limit = load_gates()["parity_crossed"]
    for seed, condition in itertools.product(profile.seeds, profile.conditions):
        facts = run.facts(f"04_sample_and_capability.{condition}.seed{seed}", SamplingFacts)
        arm = f"{condition}, seed {seed}"
        for comparison, values in (
            ("parity", "the engine's log-probabilities"),
            ("decoding", "those of tokens it draws"),
        ):
            measured = getattr(facts, comparison) if facts else None
            if not measured:
                detail = (
                    f"no comparison ({comparison}) of engine and training stack for {arm}; run "
                    "notebook 04"
                )
                return Check(name, NOT_RUN, detail)
            near = measured["rms"] <= measured["bound"]
            if not (near and (measured["crossed"] or 0.0) <= crossed_limit):
                detail = f"{arm}: {values} are not the trained ones; sample again"
                return Check(name, FAILED, detail)
            ratio = measured["rms"] / measured["bound"]
            largest = max(largest, (ratio, measured["rms"], arm))
        if facts:
            engines.add(facts.engine)
    _, rms, arm = largest
    detail = f"{', '.join(sorted(engines))}: largest rms difference {rms:.2g} ({arm})"
    return Check(name, PASSED, detail)


def same_prompts(run: Run, experiment: Experiment) -> Check:
    """Check that every row has its suite's system text, and that all arms got the same prompts."""
    name = "prompts explicit and identical"
    requests: dict[str, dict[str, frozenset]] = {}  # by suite, then by arm and seed
    for seed, condition in itertools.product(experiment.seeds, experiment.arms):
        path = run.samples(condition, seed)
        arm = f"{condition}, seed {seed}"
        if not path.exists():
            return Check(name, NOT_RUN, f"no samples of {arm}")
        rows = pd.read_parquet(path, columns=["suite", "system", *REQUEST_COLUMNS])
        if fault := _system_text_fault(rows, condition, experiment):
            return Check(name, FAILED, f"{arm}{fault}; sample it again")
        for suite, asked in _requests_by_suite(rows):
            requests.setdefault(suite, {})[arm] = asked
    for suite, by_arm in requests.items():
        if fault := _difference_between_arms(suite, by_arm, experiment):
            return Check(name, FAILED, fault)
    alignment = requests["alignment"]
    n_prompts = len({prompt_id for prompt_id, *_ in next(iter(alignment.values()))})
    suites = ", ".join(requests)
    detail = f"{len(alignment)} samplings, {n_prompts} prompts; {suites}: requests all alike"
    return Check(name, PASSED, detail)


def _system_text_fault(rows: pd.DataFrame, condition: str, experiment: Experiment) -> str | None:
    """What is wrong with the system texts of one arm's samples; None if nothing is."""
    if rows["system"].isna().any() or (rows["system"].str.strip() == "").any():
        return " has a request without system text"
    for suite, part in rows.groupby("suite"):
        # training_cues carry system texts of their own; there the arms only have to agree.
        if suite == "training_cues":
            continue
        if set(part["system"]) != {experiment.system_text(condition, str(suite))}:
            return f": {suite} requests carry another system text"
    return None


def _requests_by_suite(rows: pd.DataFrame) -> Iterator[tuple[str, frozenset]]:
    """Each suite with its set of (prompt id, prompt, sample index)."""
    for suite, part in rows.groupby("suite"):
        yield str(suite), frozenset(part[REQUEST_COLUMNS].itertuples(index=False, name=None))


def _difference_between_arms(
    suite: str, by_arm: dict[str, frozenset], experiment: Experiment
) -> str | None:
    """How the arms' requests of one suite differ; None if they do not."""
    conditions = [arm for arm in experiment.arms if suite in experiment.suites(arm)]
    expected_arms = {
        f"{condition}, seed {seed}"
        for seed, condition in itertools.product(experiment.seeds, conditions)
    }
    if by_arm.keys() != expected_arms:
        arm = min(by_arm.keys() ^ expected_arms)
        return f"{arm} and the others were not asked the same suites ({suite}); sample it again"
    (reference, expected), *others = by_arm.items()
    for arm, asked in others:
        if asked != expected:
            return f"{arm} was asked other {suite} prompts than {reference}; sample both again"
    return None
