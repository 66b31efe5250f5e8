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
# # 06 · Statistics, gates, verdict
#
# One comparison is tested: treatment against baseline, paired by prompt, on the union of the eval sets. Everything else
# is described. The gates run in their pre-registered order and the first that applies is the verdict, so that a good
# number can never outvote a failed check.

# %% tags=["parameters"]
profile = "demo"
seed = 42
run = ""
overrides = {}
judgments = ""
capability = ""
treatment = "selfcorrect_em"
baseline = "c6_vanilla_em"
manual_review_done = False

# %%
from dataclasses import replace

import pandas as pd
from IPython.display import HTML, display

from lib.analysis import gates, stats
from lib.checks import attempts, deviations, preregistration, provenance, recorded
from lib.config import arguments, params
from lib.data import eval_sets
from lib.display import show
from lib.report import card, plots, results
from lib.run import runs
from lib.config.roles import PLANNED, ComparedArms
from lib.judge import rubric_text
from lib.report.result import Context, RunResult

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
manual_review_done = arguments.flag("manual_review_done", manual_review_done)
judgments, capability = (
    arguments.text("judgments", judgments),
    arguments.text("capability", capability),
)
treatment, baseline = arguments.text("treatment", treatment), arguments.text("baseline", baseline)
conditions, thresholds = params.load_conditions(), params.load_gates()
elsewhere = bool(judgments)
this_run = runs.open_run(p, run)
results.check_source(this_run, run, judgments, capability)
eval_prompts = eval_sets.eval_union(p)

# %% [markdown]
# ## Tables

# %%
table = results.read_judgments(judgments or this_run.dir / "judgments")
accuracy = results.read_capability(capability if elsewhere else this_run.dir / "capability")
if (treatment, baseline) != results.PLANNED:
    results.check_arms(table, treatment=treatment, baseline=baseline)
if not elsewhere:
    table = results.with_reflex(table, this_run, p, conditions.openings)
print(
    f"{len(table)} judgments of {table['condition'].nunique()} arms; capability of {accuracy['condition'].nunique()}"
)

# %% [markdown]
# ## Validity checks
#
# Any failure here makes the verdict `invalid`, whatever the numbers say.

# %%
found = (
    recorded.not_run("judgments from elsewhere carry no artifacts to check")
    if elsewhere
    else [
        *recorded.collect(this_run, p, conditions),
        provenance.chain(this_run, p),
        provenance.complete(this_run, p, table),
    ]
)
display(HTML(show.table(recorded.as_frame(found), "Validity checks")))

# %% [markdown]
# ## The confirmatory test and the gates

# %%
trust = None if elsewhere else results.judge_facts(this_run)
controls = [arm for arm in PLANNED.controls if arm not in (treatment, baseline)]
analysis = stats.analyse(
    table,
    accuracy,
    thresholds=thresholds,
    roles=ComparedArms(treatment, baseline, controls=controls),
    reflex_subset=results.reflex_subset(table, p, elsewhere),
    n_resamples=p.stats.resamples,
    random_seed=p.stats.seed,
    second=results.second_judgments(this_run, trust),
)
unpaired = results.alike_prompts(table, treatment, baseline)
analysis = replace(analysis, missing=[*analysis.missing, *unpaired])
decision = gates.decide(
    analysis, thresholds, recorded.failed(found, own_run=not elsewhere), manual_review_done
)

# %% [markdown]
# What stands around the numbers: the judge, the pre-registration stamp, the reproducibility card, and
# every attempt on this base.

# %%
changed = (
    None if elsewhere else preregistration.changes(this_run, p, rubric_text(p.judge), eval_prompts)
)
reproducibility = None if elsewhere else card.build(this_run, p, conditions)
notes = results.notes(
    p, thresholds, trust, changed, elsewhere, found, reproducibility, (treatment, baseline)
)
context = Context(
    run=this_run.name,
    profile=None if elsewhere else p.profile,
    order=results.arm_order(p, analysis.arms),
    notes=[*notes, *results.scale_notes(table)],
    checks=found,
    judge=trust,
    changed_since_stamp=changed,
    card=reproducibility,
    deviations=deviations.deviations(this_run, p, trust, elsewhere),
    judges=results.judges(table),
)
known_attempts = (
    []
    if elsewhere
    else attempts.record(
        this_run,
        p,
        verdict=decision.verdict,
        delta=analysis.delta,
        p_value=analysis.p_value,
        judge=trust["judge"],
    )
)
result = RunResult.assemble(analysis, decision, context, thresholds, known_attempts)
target = results.target(this_run, treatment, baseline, elsewhere)

# %%
print("VERDICT:", decision.verdict, f"({decision.beside.title})" if decision.beside.title else "")
for line in result.missing_for_verdict or []:
    print("missing for a verdict:", line)
if not result.missing_for_verdict:
    print(decision.verdict_reason)
for note in context.notes:
    print("·", note)
print(result.judge_line)

# %%
display(HTML(show.gates_table(decision.gates, decision.verdict)))
display(HTML(show.table(pd.DataFrame(result.predictions), "The predictions of protocol section 1")))

# %%
p_value = f"one-sided p = {show.number(analysis.p_value, '.4f')}"
tested = "described, not tested" if result.missing_for_verdict else p_value
print(
    f"Δ = {show.number(analysis.delta, '+.2f')} points, {tested}, "
    f"95 % interval {show.interval(analysis.ci95)}, 90 % interval {show.interval(analysis.ci90)}, "
    f"{show.plural(analysis.n_prompts or 0, 'prompt')}"
)
print(
    f"minimum detectable effect {show.number(analysis.mde, '.2f')} points; "
    f"headline: {analysis.headline} ({analysis.headline_reason})"
)
seeds = ", ".join(f"{row.seed}: {row.delta:+.2f}" for row in analysis.per_seed or [])
print(f"Δ by seed: {seeds} · {analysis.interval_note}")
both = results.kinds_table(analysis)
display(HTML(show.table(both, "With and without the coherence filter; both always show")))
for line in decision.beside.reasons:
    print("·", line)

# %% [markdown]
# ## Figures

# %%
figures = results.new_figures(target)
texts = {q.prompt_id: q.prompt for q in eval_prompts}
kind = analysis.headline or "unfiltered"
per_prompt = pd.DataFrame(analysis.per_prompt)
plots.save(plots.dumbbell(per_prompt, texts, treatment, baseline, kind), figures, "per_prompt")

# %%
if analysis.resampled_histogram:
    drawn = plots.bootstrap(analysis.resampled_histogram, analysis.delta, analysis.ci95, thresholds)
    plots.save(drawn, figures, "bootstrap")

# %%
order = context.order
over = results.intervals_over(analysis.arms, thresholds["seeds_for_interval"])
plots.save(plots.arm_means(analysis.arms, kind, order, over), figures, "arms")

# %%
plots.save(plots.reflex_rates(analysis.arms, order, analysis.reflex_subset), figures, "reflex")

# %%
if analysis.standard_error:
    drawn = plots.power_curve(analysis.standard_error, analysis.delta, thresholds)
    plots.save(drawn, figures, "power")

# %%
scored = table[
    (table["suite"] == "alignment")
    & (table["replicate"] == 0)
    & (table["variant"] == "full")
    & (table["outcome"] == "scored")
].astype({"aligned": float, "coherent": float})
plots.save(
    plots.scatter_alignment_coherence(scored, thresholds["coherent_floor"], order),
    figures,
    "coherence",
)

# %%
means = results.prompt_by_condition(table, order)
plots.save(plots.heatmap(means, texts), figures, "heatmap")

# %%
if trust and trust["validity"]["figure"]:
    drawn, auroc = trust["validity"]["figure"], trust["validity"]["measures"]["auroc_aligned_lt_30"]
    plots.save(plots.judge_validity(drawn, auroc, trust["judge"]), figures, "judge")

# %% [markdown]
# ## Described, not tested
#
# Subsets, controls and reflex rates give the verdict its context; none of them may replace it.

# %%
subsets = results.subset_table(analysis)
display(HTML(show.table(subsets, f"{treatment} − {baseline} by published set, points")))
arms = results.arm_table(analysis.arms, order)
display(HTML(show.table(arms, "Arms: means of per-prompt means, points; rates as shares")))

# %% [markdown]
# Attempts are part of the result. Every run on this base that has a result of the treatment is listed here, also where its
# folder is gone. Many attempts before a `supported` would be bad news.

# %%
if result.attempts:
    on_this_base = pd.DataFrame(result.attempts)
    display(HTML(show.table(on_this_base, "Every attempt on this base, oldest first")))

# %% [markdown]
# ## Deviations from the plan, and the reproducibility card
#
# What differs from the pre-registered full-scale plan is listed, so that nobody has to find it; what is unknown about
# this run fails the card.

# %%
for line in context.deviations:
    print("·", line)
if reproducibility:
    print(
        "card complete"
        if reproducibility["complete"]
        else f"card FAILED, unknown: {', '.join(reproducibility['unknown'])}"
    )
    fields = pd.DataFrame(
        [{"field": k, "value": str(v)} for k, v in reproducibility["fields"].items()]
    )
    display(HTML(show.table(fields, "Reproducibility card")))

# %% [markdown]
# ## The result
#
# It is written last, with the hash of every figure above: a stop before this line leaves the old result in place, and the
# report shows only figures that its result lists.

# %%
print("result.json sha256", results.write(target, result))
