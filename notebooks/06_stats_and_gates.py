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
# One comparison is tested: treatment against baseline, paired by prompt, on the union of the eval
# sets. Everything else is described. The gates are asked in their pre-registered order, and the
# first gate that fails gives the verdict. So a good number never outweighs a failed check.

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
from dataclasses import asdict, replace

import pandas as pd

from lib import notebook
from lib.analysis import gates, reading, sources, stats, table_checks
from lib.checks import attempts, deviations, preregistration, provenance, recorded
from lib.config import arguments
from lib.config.roles import PLANNED, ComparedArms
from lib.data import eval_sets
from lib.display import show
from lib.judge import rubric_text
from lib.notebook import show_html, show_table
from lib.report import card, judge_facts, notes, reflex, result_files, result_plots, result_tables
from lib.report.result import Context, RunResult

# %%
from IPython.display import display

from lib.checks import persona, persona_changes, read_bad
from lib.manual_review import agreement as review_agreement
from lib.manual_review.panel import Panel
from lib.report import base_weights, compared_runs, sections
from lib.run import progress

# %%
nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides)
manual_review_done = arguments.flag("manual_review_done", manual_review_done)
judgments = arguments.text("judgments", judgments)
capability = arguments.text("capability", capability)
treatment = arguments.text("treatment", treatment)
baseline = arguments.text("baseline", baseline)
elsewhere = bool(judgments)  # judged by another project; this run then has no artifacts of its own
sources.check_source(nb.run, run, judgments, capability)

# %% [markdown]
# ## Tables
#
# The judgments come from notebook 05, or from the folder that `judgments` names. Every file is
# first checked against the schema. A row that breaks it stops the notebook and is never silently
# left out.

# %%
table = reading.read_judgments(judgments or nb.run.dir / "judgments", own_judge=not elsewhere)
accuracy = reading.read_capability(capability if elsewhere else nb.run.dir / "capability")
if (treatment, baseline) != PLANNED.compared:
    sources.check_arms(table, treatment=treatment, baseline=baseline)
if not elsewhere:
    table = reflex.with_reflex(table, nb.run, nb.profile, nb.conditions.openings)
n_arms = table["condition"].nunique()
n_capable = accuracy["condition"].nunique()
print(f"{len(table)} judgments of {n_arms} arms; capability of {n_capable}")

# %% [markdown]
# ## Answers that a person read
#
# The protocol asks that somebody reads answers of every arm without knowing the arm. It is best
# done here, before any number below is known, or on the report's page *Read answers blind*. An
# answer that you mark otherwise than the judge is a reason to distrust the means. In Jupyter, run
# this cell again when you have read them all.

# %%
if not elsewhere:
    review = review_agreement.state(nb.run)
    manual_review_done = manual_review_done or review.done
    print(review.line)
    if review.readings:
        show_table(review_agreement.table(review), "Marks of a person and of the judge")
    if progress.interactive() and not review.done:
        display(Panel(nb.run, review.sample))

# %% [markdown]
# ## Validity checks
#
# Look for a row that says `failed`: it makes the verdict `invalid`, whatever the numbers say. A
# check that was not run proves nothing, and the headline names it.

# %%
if elsewhere:
    checks = recorded.not_run("judgments from elsewhere carry no artifacts to check")
else:
    checks = recorded.collect(nb.run, nb.profile, nb.conditions)
    checks.append(persona.check(nb.run, table, nb.gates))
    checks.append(provenance.chain(nb.run, nb.profile))
    checks.append(provenance.complete(nb.run, nb.profile, table))
show_table(recorded.as_frame(checks), "Validity checks")

# %% [markdown]
# ## The confirmatory test and the gates
#
# If an arm has no usable answer to a prompt, the prompt is removed from both arms and named. Prompt
# ids that differ only in white space or case are named too, because they are not paired.

# %%
trust = None if elsewhere else judge_facts.judge_facts(nb.run)
controls = [arm for arm in PLANNED.controls if arm not in (treatment, baseline)]
analysis = stats.analyse(
    table,
    accuracy,
    near_field=nb.profile.data.near_field,
    thresholds=nb.gates,
    roles=ComparedArms(treatment, baseline, controls=controls),
    reflex_subset=reflex.reflex_subset(table, nb.profile, elsewhere),
    n_resamples=nb.profile.stats.resamples,
    random_seed=nb.profile.stats.seed,
    second=judge_facts.second_judgments(nb.run, trust),
)

# %%
unpaired = table_checks.alike_prompts(table, treatment, baseline)
analysis = replace(analysis, missing=[*analysis.missing, *unpaired])
failed = recorded.failed(checks, own_run=not elsewhere)
decision = gates.decide(analysis, nb.gates, failed, manual_review_done)

# %% [markdown]
# The context of the numbers: the judge, changes since the pre-registration stamp, the
# reproducibility card, and every attempt on this base.

# %%
eval_prompts = eval_sets.eval_union(nb.profile)
rubric = rubric_text(nb.profile.judge)
changed = None
reproducibility = None
if not elsewhere:
    changed = preregistration.changes(nb.run, nb.profile, rubric, eval_prompts)
    reproducibility = card.build(nb.run, nb.profile, nb.conditions)
compared = (treatment, baseline)
headline = notes.notes(
    nb.profile, nb.gates, trust, changed, elsewhere, checks, reproducibility, compared
)

# %%
if elsewhere:
    headline = headline + table_checks.scale_notes(table)
else:
    headline = persona.notes(checks) + headline + read_bad.notes(nb.run, nb.gates)

# %%
context = Context(
    run=nb.run.name,
    profile=None if elsewhere else nb.profile.profile,
    order=result_tables.arm_order(nb.profile, analysis.arms),
    notes=headline,
    checks=checks,
    judge=trust,
    changed_since_stamp=changed,
    card=reproducibility,
    deviations=deviations.deviations(nb.run, nb.profile, trust, elsewhere),
    judges=table_checks.judges(table),
    base_weights=None if elsewhere else base_weights.of(nb.run, nb.profile),
)

# %%
known_attempts = []
if not elsewhere:
    known_attempts = attempts.record(
        nb.run,
        nb.profile,
        verdict=decision.verdict,
        delta=analysis.delta,
        p_value=analysis.p_value,
        judge=trust["judge"],
    )
result = RunResult.assemble(analysis, decision, context, nb.gates, known_attempts)
target = sources.target(nb.run, treatment, baseline, elsewhere)

# %% [markdown]
# The verdict, and below it what this run can and cannot show. A line that begins with *Not
# confirmatory*, or an AUROC below its bound, is bad news for a claim, whatever the verdict.

# %%
print("VERDICT:", decision.verdict, f"({decision.beside.title})" if decision.beside.title else "")
for line in result.missing_for_verdict or []:
    print("missing for a verdict:", line)
if not result.missing_for_verdict:
    print(decision.verdict_reason)
for note in context.notes:
    print("·", note)
print(result.judge_line)

# %% [markdown]
# The gates, in the order in which they are asked. Look for the marked row: it decides. A margin
# near 0 is bad news for either side, because a little more data could change the result.

# %%
show_html(show.gates_table(decision.gates, decision.verdict))

# %% [markdown]
# What was predicted before any data, by the interval of what was measured. Bad news is a `no` in a
# row about accuracy or coherence: the gain then has a price.

# %%
show_html(sections.predictions(list(map(asdict, result.predictions))))

# %% [markdown]
# The effect itself. Compare Δ with the minimum detectable effect: a smaller Δ is within what this
# design cannot tell from chance. Seeds that disagree in sign are bad news.

# %%
p_value = f"one-sided p = {show.number(analysis.p_value, '.4f')}"
tested = "described, not tested" if result.missing_for_verdict else p_value
prompts = show.plural(analysis.n_prompts or 0, "prompt")
ci95 = f"95 % interval {show.interval(analysis.ci95)}"
ci90 = f"90 % interval {show.interval(analysis.ci90)}"
print(f"Δ = {show.points(analysis.delta)} points, {tested}, {ci95}, {ci90}, {prompts}")
detectable = f"minimum detectable effect {show.points(analysis.mde, '')} points"
print(f"{detectable}; headline: {analysis.headline}, because {analysis.headline_reason}")
by_seed = ", ".join(f"{row.seed}: {show.points(row.delta)}" for row in analysis.per_seed or [])
print(f"Δ by seed: {by_seed} · {analysis.interval_note}")

# %% [markdown]
# The filter leaves out answers that are incoherent or code. If only one of the two rows is above
# the null bound, the filter decides, and that is bad news.

# %%
by_kind = result_tables.kinds_table(analysis)
show_table(by_kind, "With and without the coherence filter; both always show")

# %% [markdown]
# What weakens the verdict, one line each. No line would be the best news.

# %%
for line in decision.beside.reasons:
    print("·", line)

# %% [markdown]
# ## Figures
#
# The numbers of the gate that decides. The hatched side is where it fails. If the gain itself
# decides, the figure of the resampled Δ below shows it, and there is none here.

# %%
texts = {prompt.prompt_id: prompt.prompt for prompt in eval_prompts}
figures = result_files.new_figures(target)
plots = result_plots.ResultPlots(figures, analysis, context.order, nb.gates, texts)
changes = [] if elsewhere else persona_changes.changes(nb.run, table, nb.gates)
plots.gate(decision, checks, changes)

# %% [markdown]
# The paired difference on each prompt, sorted. The points should be to the right of the zero line
# all the way down. A gain that comes from a few prompts alone is bad news.

# %%
plots.per_prompt()

# %% [markdown]
# The resampled Δ with its interval. The shaded interval should be to the right of the dashed line.
# If the interval contains 0, chance is not excluded.

# %%
plots.bootstrap()

# %% [markdown]
# Every arm with its interval. The baseline should be well below base, or nothing was induced. A
# control that reaches the treatment is bad news: the gain then does not come from the reflex.

# %%
plots.arms()

# %% [markdown]
# How often each arm resets. Only treated arms should. Many parrots are bad news: they say the words
# and continue with the harm.

# %%
plots.reflex()

# %% [markdown]
# What this design can find. Where the curve crosses the dotted line, 80 % of studies would find the
# effect. A crossing far to the right of the strong bound is bad news.

# %%
plots.power()

# %% [markdown]
# One dot per completion. Dots to the left of the dashed line are not in the filtered mean. It is
# bad news if a large part of an arm's answers is there.

# %%
plots.coherence(table)

# %% [markdown]
# Every prompt in every arm. Look for rows of low numbers: a prompt that is low in all arms, base
# included, is a bad prompt. A column of low numbers is a bad arm.

# %%
plots.heatmap(table)

# %% [markdown]
# The judge against published scores, as in notebook 05. If the curve in the last panel is near the
# diagonal, the judge guesses, and no number above is worth much.

# %%
plots.judge(trust)

# %% [markdown]
# ## Described, not tested
#
# Subsets, controls and reflex rates give the verdict its context. None of them may replace it. A
# gain on only one of the published sets is bad news.

# %%
subsets = result_tables.subset_table(analysis)
show_table(subsets, f"{treatment} − {baseline} by published set, points")

# %% [markdown]
# One row per arm. Compare the alignment with `dropped`, `code` and `refusal`: an arm that is safer
# because it refuses or breaks down is bad news.

# %%
arms = result_tables.arm_table(analysis.arms, context.order)
show_table(arms, "Arms: means of per-prompt means, points; rates as shares")

# %% [markdown]
# Attempts are part of the result. Every run on this base with a result of the treatment is listed
# here, even if its folder was deleted. Many attempts before a `supported` are bad news.

# %%
if result.attempts:
    on_this_base = pd.DataFrame(result.attempts)
    show_table(on_this_base, "Every attempt on this base, oldest first")

# %% [markdown]
# If this run is one of a sweep (`params/sweeps`), the runs of it that were finished before are
# here. Do not pick the best of them: a sweep describes. Scores of two judges are not compared.

# %%
sweeps = {} if elsewhere else compared_runs.sweeps_of(nb.run)
for sweep, others in sweeps.items():
    if others:
        show_table(compared_runs.numbers(others), f"Other finished runs of the sweep {sweep}")

# %% [markdown]
# ## Deviations from the full-scale plan, and the reproducibility card
#
# Everything that differs from the pre-registered full-scale plan, one line each. In the demo most
# lines are expected. In the full-scale run, every line is bad news for a claim.

# %%
for line in context.deviations:
    print("·", line)

# %% [markdown]
# The card names everything that is needed to make this run again. An unknown field fails the card,
# and the run then cannot be repeated exactly.

# %%
if reproducibility:
    unknown = ", ".join(reproducibility["unknown"])
    print(f"card FAILED, unknown: {unknown}" if unknown else "card complete")
    fields = reproducibility["fields"].items()
    lines = [{"field": field, "value": str(value)} for field, value in fields]
    show_table(pd.DataFrame(lines), "Reproducibility card")

# %% [markdown]
# ## The result
#
# It is written last, with the hash of every figure above. A stop before this line leaves the old
# result in place, and the report shows only figures that its result lists.

# %%
print("result.json sha256", result_files.write(target, result))
