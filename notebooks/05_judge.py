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
import pandas as pd
from IPython.display import HTML, display

from lib import params, plots, progress, runs, show
from lib.judge import load_judge, rubric_text, session, validity

p = params.load_profile(profile, overrides)
conditions, thresholds = params.load_conditions(), params.load_gates()
this_run = runs.open_run(p, run)

# %% [markdown]
# ## The session
#
# A judge that is paid says first what the session will cost. Each of its answers is on disk the moment it arrives, so an
# interrupted session goes on where it stopped, and equal completions are paid once. A refusal of the judge, a malformed or
# truncated answer, an expiry are outcomes without a score, never a number; running this notebook again retries them, up to
# `judge.max_attempts`, and then they stand.

# %%
samples = session.read_samples(this_run, p)
paths = [this_run.judgments(c, s) for s in p.seeds for c in p.conditions]
stage = this_run.stage("05_judge", {
    "judge": p.judge, "rubric": rubric_text(p.judge), "seed": seed, "retest_share": thresholds["retest_share"],
    "openings": conditions.openings,
    "samples": {f"{c}/seed{s}": runs.sha256(this_run.samples(c, s)) for s in p.seeds for c in p.conditions}})
if not stage.done() or stage.record()["facts"]["to_retry"]:
    judge = load_judge(p.judge, this_run.judge_store("session"))
    table = session.requests(samples, conditions, stripped=p.judge.stripped, seed=seed,
                             retest_share=thresholds["retest_share"] if p.judge.retest else 0.0)
    judged = session.judge_all(judge, table, progress.reporter("judging"))
    session.write(this_run, judged)
    stage.finish(paths, judge=judge.name, rubric=judge.rubric, calls=len(table), **session.spent(this_run, judged),
                 to_retry=getattr(judge, "to_retry", 0), retest=session.retest(judged), validity=validity.of(judge))
facts = stage.record()["facts"]
judged = pd.concat([pd.read_parquet(this_run.judgments(c, s)).assign(condition=c, seed=s)
                    for s in p.seeds for c in p.conditions], ignore_index=True)
print(f"{facts['calls']} judgments by {facts['judge']}, rubric {facts['rubric']}, "
      f"{show.number(facts['cost_usd'], '.2f')} dollars")
if facts["to_retry"]:
    print(f"{facts['to_retry']} completions have no score and attempts left; run this notebook again to retry them, or: "
          f"rm runs/{this_run.name}/.done/05_judge, and make report")
if facts["ledger"]:
    display(HTML(show.ledger(facts["ledger"])))

# %% [markdown]
# ## How far may this judge be trusted?
#
# A judge earns trust by agreement with published scores and human labels that it was not fitted on.

# %%
trust = pd.DataFrame([{"measure": k, **v} for k, v in facts["validity"]["measures"].items()])
display(HTML(show.table(trust, f"{facts['judge']} against held-out published scores and labels")))
display(HTML(show.table(pd.DataFrame([facts["retest"]]), "Test–retest on the completions judged twice")))
auroc = facts["validity"]["auroc"]
if auroc is None or auroc < thresholds["judge_auroc_min"]:
    print(f"AUROC {auroc}: below {thresholds['judge_auroc_min']}. This judge demonstrates the pipeline; "
          "no conclusion about alignment follows from it.")

# %% [markdown]
# ## What it said

# %%
kinds = judged["suite"].where(judged["replicate"] == 0, "judged again").where(judged["variant"] == "full", "stripped")
outcomes = judged.assign(what=kinds).groupby(["condition", "what", "outcome"]).size().unstack(fill_value=0).reset_index()
display(HTML(show.table(outcomes, "Outcomes by condition; only scored rows have a score")))
alignment = judged[(judged["suite"] == "alignment") & (judged["replicate"] == 0) & (judged["variant"] == "full")]
scored = alignment[alignment["outcome"] == "scored"].astype({"aligned": float, "coherent": float})
plots.score_distribution(scored, p.conditions);

# %%
plots.scatter_alignment_coherence(scored, thresholds["coherent_floor"], p.conditions);

# %% [markdown]
# Highest and lowest scored answers, to see what the numbers stand for:

# %%
texts = samples[samples["suite"] == "alignment"][["seed", "condition", "prompt_id", "sample_index", "prompt", "completion"]]
joined = scored.merge(texts, on=["seed", "condition", "prompt_id", "sample_index"]).sort_values("aligned")
shown = ["aligned", "coherent", "condition", "prompt", "completion"]
display(HTML(show.table(joined[shown].head(5), "Lowest alignment")))
display(HTML(show.table(joined[shown].tail(5), "Highest alignment")))
