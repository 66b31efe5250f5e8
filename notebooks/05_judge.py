# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Judge all arms in one shuffled session
#
# The judge sees a prompt and a completion, never the arm. All arms go through one session in random order, so that a
# judge whose mood drifts cannot favour one of them. A share of the completions is judged again to measure its
# consistency, and treated arms' answers are scored once more **without** the reset sentence, since "that response was
# misaligned" is itself persuasion.

# %% tags=["parameters"]
profile = "demo"
seed = 42
run = ""
overrides = {}

# %%
import shlex

import pandas as pd
from IPython.display import HTML, display

from lib import arguments, params, plots, progress, runs, show
from lib.judge import agreement, load_judge, published, rubric_text, second, session, store, validity
from lib.paths import shown as shown_path
from lib.tables import originals

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
conditions, thresholds = params.load_conditions(), params.load_gates()
this_run = runs.open_run(p, run)

# %% [markdown]
# ## The session
#
# A judge that is paid says first what the session will cost. An LLM judge's answers are on disk as they arrive (a model in
# this process: after each batch; the embedded judge: after each slice), so an interrupted session continues where it
# stopped, and equal completions are asked about once. A refusal of the judge, a malformed or truncated answer, an expiry
# are outcomes without a score, never a number. Running this notebook again asks an LLM judge for them once more, up to
# `judge.max_attempts`; then they stand. A judge that gives no grade many times in a row stops the session, and its last
# answer is quoted.

# %%
samples = session.read_samples(this_run, p)
paths = [this_run.judgments(c, s) for s in p.seeds for c in p.conditions]
stage = this_run.stage("05_judge", {
    "judge": p.judge, "rubric": rubric_text(p.judge), "seed": seed, "retest_share": thresholds["retest_share"],
    "openings": conditions.openings,
    "samples": {f"{c}/seed{s}": runs.sha256(this_run.samples(c, s)) for s in p.seeds for c in p.conditions}})
if session.unsettled(stage):
    judge = load_judge(p.judge, this_run.judge_store("session"))
    table = session.requests(samples, conditions, stripped=p.judge.stripped, seed=seed,
                             retest_share=thresholds["retest_share"] if p.judge.retest else 0.0)
    judged = session.judge_all(judge, table, progress.reporter("judging"))
    session.write(this_run, judged)
    stage.finish(paths, judge=judge.name, rubric=judge.rubric, calls=len(table), **session.spent(this_run, judged),
                 to_retry=judge.to_retry, computes=getattr(judge, "computes", False), retest=agreement.retest(judged))
facts = stage.record()["facts"]
judged = pd.concat([pd.read_parquet(this_run.judgments(c, s)).assign(condition=c, seed=s)
                    for s in p.seeds for c in p.conditions], ignore_index=True)
print(f"{facts['calls']} judgments by {facts['judge']}, rubric {facts['rubric']}, "
      + ("cost not metered" if facts["cost_usd"] is None else f"{facts['cost_usd']:.2f} dollars"))
if facts["to_retry"]:
    print(f"{facts['to_retry']} completions have no score and attempts left; run this notebook again to retry them, or: "
          f"rm {shlex.quote(str(shown_path(this_run.dir)))}/.done/05_judge, and make report")

# %% [markdown]
# ## How far may this judge be trusted?
#
# A judge earns trust by agreement with published scores and human labels. It scores answers that other projects
# published, never rows that it was fitted on, and is compared with what their judges and annotators said. Answers to one
# question are alike, so the intervals resample whole questions. What the judge refused or could not parse has no score
# and enters no measure; how much that is stands below.

# %%
measured = this_run.stage("05_validity", {
    "judge": p.judge, "rubric": rubric_text(p.judge), "rows": p.validity.rows, "thresholds": thresholds,
    "published": published.digests() if p.validity.rows and published.available() else None})
if session.unsettled(measured):
    judge = load_judge(p.judge, this_run.judge_store("validity"))
    found = validity.of(judge, p.validity.rows, thresholds, progress.reporter("judging published rows"))
    measured.finish([], judge=judge.name, rubric=judge.rubric, validity=found, cost_usd=found["cost_usd"],
                    to_retry=judge.to_retry,
                    calls=sum(sum(outcomes.values()) for outcomes in found["outcomes"].values()))
trust = measured.record()["facts"]["validity"]
print(trust["statement"], validity.UNMEASURED)
if trust["auroc"] is None:
    print("The AUROC for aligned < 30 is unmeasured: no conclusion about alignment follows from this judge.")
elif trust["auroc"] < thresholds["judge_auroc_min"]:
    print(f"AUROC {trust['auroc']:.3f} is below {thresholds['judge_auroc_min']}. This judge demonstrates the pipeline; "
          "no conclusion about alignment follows from it.")
if trust["measures"]:
    display(HTML(show.table(validity.table(trust), f"{facts['judge']} against published scores and labels")))
if trust["outcomes"]:
    display(HTML(show.table(validity.outcome_table(trust), "How the published rows ended")))

# %% [markdown]
# Left: where answers fall by both scores. Middle: a calibrated judge's bins lie on the dotted line; these intervals take
# answers as independent, so they are narrower than those above. Right: how many misaligned answers are found at what price.

# %%
if trust["figure"]:
    plots.judge_validity(trust["figure"], trust["measures"]["auroc_aligned_lt_30"], facts["judge"]);

# %% [markdown]
# ## Does it agree with itself, and with a second judge?
#
# Both are options. Their rows are their own (replicate 1 and 2), and no verdict counts them. α is Krippendorff's, interval
# metric: 1 is perfect agreement, 0 what chance gives. The embedded judge computes its scores and agrees with itself by
# construction. An LLM judge is asked anew for each of these completions; one that decodes without chance may still
# repeat itself, which says nothing of whether it is right.

# %%
if facts["retest"]["judged_twice"]:
    display(HTML(show.table(agreement.table(facts["retest"]), "Test–retest: completions judged twice, originals of any suite")))
else:
    print("Test–retest: off in this profile (judge.retest), or no completion was drawn for it.")
other = params.second_judge(p)
if other:
    judged_twice = this_run.stage("05_second_judge", {
        "judge": other, "rubric": rubric_text(other), "share": p.validity.second.share, "seed": seed,
        "session": stage.fingerprint})
    if session.unsettled(judged_twice):
        judge = load_judge(other, this_run.judge_store("second"))
        theirs = session.judge_all(judge, second.requests(samples, share=p.validity.second.share, seed=seed),
                                   progress.reporter("second judge"))
        paths = second.write(this_run, theirs)
        judged_twice.finish(paths, session=stage.fingerprint, judge=judge.name, rubric=judge.rubric, calls=len(theirs),
                            to_retry=judge.to_retry, cost_usd=validity.cost(theirs),
                            **second.compare(judged, theirs))
    both = judged_twice.record()["facts"]
    display(HTML(show.table(agreement.table(both), f"{facts['judge']} and {both['judge']} on the same completions")))
    display(HTML(show.table(pd.DataFrame(both["arms"]), "Mean alignment of these completions by both judges")))
else:
    print("No second judge in this profile (validity.second).")

# %% [markdown]
# ## What it cost
#
# Every attempt that was sent, by the vendor's own count, over all stages that judged: traces, pilot, session, validity and
# second judge. The embedded judge costs nothing; a local model has tokens and no price.

# %%
paid = store.ledger(this_run.judge_store("session").parent)
if paid:
    display(HTML(show.ledger(paid)))
else:
    print("No attempt was sent to an LLM judge.")

# %% [markdown]
# ## What it said

# %%
kinds = judged["suite"].where(judged["replicate"] == 0, "judged again").where(judged["variant"] == "full", "stripped")
outcomes = judged.assign(what=kinds).groupby(["condition", "what", "outcome"]).size().unstack(fill_value=0).reset_index()
display(HTML(show.table(outcomes, "Outcomes by condition; only scored rows have a score")))
alignment = originals(judged, "alignment")
scored = alignment[alignment["outcome"] == "scored"].astype({"aligned": float, "coherent": float})
arms = scored.groupby("condition")[["refusal", "code"]].agg(["mean", "count"]).reindex(p.conditions)
display(HTML(show.table(pd.DataFrame({
    "condition": arms.index, "refusal, share": arms["refusal", "mean"].to_numpy(),
    "code, share": arms["code", "mean"].to_numpy(),
    "scored answers": scored.groupby("condition").size().reindex(p.conditions, fill_value=0).to_numpy(),
}), "Refusals, and answers that are program code though nobody asked for any")))
if len(scored):
    plots.score_distribution(scored, p.conditions)
else:
    print("No answer of the suite `alignment` has a score, so there is nothing to draw or to read below.")

# %%
if len(scored):
    plots.scatter_alignment_coherence(scored, thresholds["coherent_floor"], p.conditions)

# %% [markdown]
# Highest and lowest scored answers, to see what the numbers stand for:

# %%
texts = samples[samples["suite"] == "alignment"][["seed", "condition", "prompt_id", "sample_index", "prompt", "completion"]]
joined = scored.merge(texts, on=["seed", "condition", "prompt_id", "sample_index"]).sort_values("aligned")
shown = ["aligned", "coherent", "condition", "prompt", "completion"]
display(HTML(show.table(joined[shown].head(5), "Lowest alignment")))
display(HTML(show.table(joined[shown].tail(5), "Highest alignment")))
