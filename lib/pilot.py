"""Gate 1 early: a pilot of base and baseline is judged before the other arms are paid for (docs/protocol.md section 7).

`python -m lib.pilot RUN PROFILE OVERRIDES` judges ten samples a prompt of the arms that are sampled first. It only
decides whether to stop: its completions are judged again in the shuffled session, and gate 1 is then computed anew.
"""

from __future__ import annotations

import sys

import pandas as pd

from lib.analysis import gates, stats
from lib.checks import preregistration
from lib.config.params import load_conditions, load_gates, load_profile
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data import eval_sets
from lib.judge import Judge, load_judge, rubric_text, session
from lib.judge.trust import agreement, validity
from lib.report import results
from lib.report.result import Context, RunResult
from lib.run.runs import Run, read_json, write_text
from lib.run.table_schemas import JUDGMENTS

SAMPLES = 10  # a prompt
REMEDIES = (
    "train on a stronger EM set (data.em, or a condition's phase2)",
    "raise phase2.learning_rate",
    "raise phase2.epochs, or lower phase2.effective_batch: more optimizer steps",
    "to train the other arms although nothing was induced: OVERRIDES='{\"stop_at_gate1\": false}'",
)


def decide(run: Run, profile: Profile, judge: Judge) -> RunResult:
    """The pilot's result, with `stop`, for the profile's first seed."""
    conditions, thresholds = load_conditions(), load_gates()
    arms = profile.model_copy(
        update={"conditions": list(PLANNED.pilot), "seeds": profile.seeds[:1]}
    )
    samples = session.read_samples(run, arms)
    samples = samples[(samples["suite"] == "alignment") & (samples["sample_index"] < SAMPLES)]
    table = session.requests(
        samples, conditions, retest_share=0.0, stripped=False, seed=profile.seeds[0]
    )
    judged = JUDGMENTS.types(session.judge_all(judge, table))
    accuracy = pd.DataFrame(columns=["seed", "condition", "acc", "acc_stderr", "acc_norm", "n"])
    analysis = stats.analyse(
        judged,
        accuracy,
        thresholds=thresholds,
        n_resamples=profile.stats.resamples,
        random_seed=profile.stats.seed,
    )
    decision = gates.decide(analysis, thresholds)
    stop = decision.verdict == "em_not_induced"
    trust = {
        "judge": judge.name,
        "rubric": judge.rubric,
        "validity": validity.of(judge, None, thresholds),
        "retest": agreement.retest(judged),
        "second": None,
        **session.spent(run, judged),
    }
    changed = preregistration.changes(
        run, profile, rubric_text(profile.judge), eval_sets.eval_union(profile)
    )
    notes = results.notes(profile, thresholds, trust, changed, False, [])
    if run.manifest.exists():
        notes += results.lock_note(read_json(run.manifest)["environment"].get("lock_differences"))
    notes += [
        f"Stopped at gate 1 on a pilot of {SAMPLES} samples a prompt: the other arms were not trained."
    ]
    notes += [f"Remedy: {remedy}." for remedy in REMEDIES]
    context = Context(
        run=run.name,
        profile=profile.profile,
        order=list(PLANNED.pilot),
        notes=notes,
        checks=[],
        judge=trust,
        changed_since_stamp=changed,
        card=None,
        deviations=[],
    )
    return RunResult.assemble(analysis, decision, context, thresholds, stop=stop)


def main(run_name: str, profile_name: str, overrides: str) -> None:
    """Judges, decides and writes the result of the pilot, and that of a run which it stops."""
    run, profile = Run(run_name), load_profile(profile_name, overrides)
    result = decide(run, profile, load_judge(profile.judge, run.judge_store("pilot")))
    if result.stop:
        write_text(run.result, result.to_json())
    write_text(run.dir / "pilot" / "result.json", result.to_json())
    points = result.analysis.base_minus_baseline
    choice = "stopping" if result.stop else "continuing"
    print(f"pilot: base − {PLANNED.baseline} = {points} points; {choice}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
