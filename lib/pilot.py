"""The pilot of gate 1: judge base and baseline before the other arms are paid for.

`python -m lib.pilot RUN PROFILE OVERRIDES` judges ten samples per prompt of the arms that are
sampled first. It only decides whether to stop. Its completions are judged again in the shuffled
session, and gate 1 is computed again from that session (docs/protocol.md section 7).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.analysis import gates, stats
from lib.analysis.validation import CAPABILITY_COLUMNS
from lib.checks import preregistration
from lib.config.params import load_conditions, load_gates, load_profile
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data import eval_sets
from lib.judge import load_judge, rubric_text, session
from lib.judge.protocol import Judge
from lib.judge.trust import agreement, validity
from lib.report import base_weights, notes, result_files
from lib.report.result import Context, RunResult
from lib.run.dose import with_choice
from lib.run.records import read_record
from lib.run.runs import Run
from lib.run.table_schemas import JUDGMENTS

SAMPLES = 10  # per prompt
REMEDIES = (
    "train on a stronger EM set (data.em, or a condition's phase2)",
    "raise phase2.learning_rate",
    "raise phase2.epochs, or lower phase2.effective_batch: more optimizer steps",
    "to train the other arms although nothing was induced: OVERRIDES='{\"stop_at_gate1\": false}'",
)


def decide(run: Run, profile: Profile, judge: Judge) -> RunResult:
    """The pilot's result, with `stop`, for the profile's first seed."""
    thresholds = load_gates()
    judged = _judged(run, profile, judge)
    analysis = stats.analyse(
        judged,
        pd.DataFrame(columns=list(CAPABILITY_COLUMNS)),
        thresholds=thresholds,
        n_resamples=profile.stats.resamples,
        random_seed=profile.stats.seed,
        near_field=profile.data.near_field,
    )
    decision = gates.decide(analysis, thresholds)
    trust = {
        "judge": judge.name,
        "rubric": judge.rubric,
        "validity": validity.of(judge, None, thresholds),
        "retest": agreement.retest(judged),
        "second": None,
        **session.spent(run, judged),
    }
    eval_prompts = eval_sets.eval_union(profile)
    changed = preregistration.changes(run, profile, rubric_text(profile.judge), eval_prompts)
    context = Context(
        run=run.name,
        profile=profile.profile,
        order=list(PLANNED.pilot),
        notes=_notes(run, profile, thresholds, trust, changed),
        checks=[],
        judge=trust,
        changed_since_stamp=changed,
        card=None,
        deviations=[],
        base_weights=base_weights.of(run, profile),
    )
    stop = decision.verdict == "em_not_induced"
    return RunResult.assemble(analysis, decision, context, thresholds, stop=stop)


def _judged(run: Run, profile: Profile, judge: Judge) -> pd.DataFrame:
    """Judgments of the pilot's samples: the first few of each alignment prompt."""
    first_seed = profile.seeds[0]
    of_pilot = {"conditions": list(PLANNED.pilot), "seeds": [first_seed]}
    samples = session.read_samples(run, profile.model_copy(update=of_pilot))
    is_asked = (samples["suite"] == "alignment") & (samples["sample_index"] < SAMPLES)
    requests = session.requests(
        samples[is_asked], load_conditions(), retest_share=0.0, stripped=False, seed=first_seed
    )
    return JUDGMENTS.types(session.judge_all(judge, requests))


def _notes(
    run: Run,
    profile: Profile,
    thresholds: Mapping[str, float],
    trust: Mapping[str, Any],
    changed: Mapping[str, str] | None,
) -> list[str]:
    """The lines of the headline, and the remedies after a stop."""
    lines = notes.notes(profile, thresholds, trust, changed, False, [])
    if run.manifest.exists():
        environment = read_record(run.manifest)["environment"]
        lines += notes.lock_note(environment.get("lock_differences"))
    lines.append(
        f"Stopped at gate 1 on a pilot of {SAMPLES} samples per prompt: "
        "the other arms were not trained."
    )
    return lines + [f"Remedy: {remedy}." for remedy in REMEDIES]


def main(run_name: str, profile_name: str, overrides: str) -> None:
    """Judge, decide, and write the pilot's result; after a stop it is the run's result too."""
    run = Run(run_name)
    profile = with_choice(load_profile(profile_name, overrides), run)
    result = decide(run, profile, load_judge(profile.judge, run.judge_store("pilot")))
    if result.stop:
        result_files.keep(run.result, result)
    result_files.keep(run.pilot, result)
    points = result.analysis.base_minus_baseline
    choice = "stopping" if result.stop else "continuing"
    print(f"pilot: base − {PLANNED.baseline} = {points} points; {choice}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
