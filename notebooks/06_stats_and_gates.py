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
import pandas as pd
from IPython.display import HTML, display

from lib import (
    arguments, attempts, card, checks, deviations, evalsets, gates, params, plots, prereg, provenance, results, runs, show,
    stats,
)
from lib.judge import rubric_text

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
manual_review_done = arguments.flag("manual_review_done", manual_review_done)
judgments, capability = arguments.text("judgments", judgments), arguments.text("capability", capability)
treatment, baseline = arguments.text("treatment", treatment), arguments.text("baseline", baseline)
conditions, thresholds = params.load_conditions(), params.load_gates()
elsewhere = bool(judgments)
this_run = runs.open_run(p, run)
results.check_source(this_run, run, judgments, capability)
eval_prompts = evalsets.eval_union(p)

# %% [markdown]
# ## Tables

# %%
table = results.read_judgments(judgments or this_run.dir / "judgments")
accuracy = results.read_capability(capability if elsewhere else this_run.dir / "capability")
if (treatment, baseline) != results.PLANNED:
    results.check_arms(table, treatment=treatment, baseline=baseline)
if not elsewhere:
    table = results.with_reflex(table, this_run, p, conditions.openings)
print(f"{len(table)} judgments of {table['condition'].nunique()} arms; capability of {accuracy['condition'].nunique()}")

# %% [markdown]
# ## Validity checks
#
# Any failure here makes the verdict `invalid`, whatever the numbers say.

# %%
found = (checks.not_run("judgments from elsewhere carry no artifacts to check") if elsewhere
         else [*checks.collect(this_run, p, conditions), provenance.chain(this_run, p),
               provenance.complete(this_run, p, table)])
display(HTML(show.table(checks.as_frame(found), "Validity checks")))

# %% [markdown]
# ## The confirmatory test and the gates

# %%
trust = None if elsewhere else results.judge_facts(this_run)
analysis = stats.analyse(
    table, accuracy, thresholds=thresholds, treatment=treatment, baseline=baseline,
    controls=[c for c in ("random_recovery_em", "placebo_assistant_em") if c not in (treatment, baseline)],
    reflex_subset=results.reflex_subset(table, p, elsewhere), n_resamples=p.stats.resamples, random_seed=p.stats.seed,
    second=results.second_judgments(this_run, trust))
analysis["missing"] += results.alike_prompts(table, treatment, baseline)
decision = gates.decide(analysis, thresholds, checks.failed(found, own_run=not elsewhere), manual_review_done)
changed = None if elsewhere else prereg.changes(this_run, p, rubric_text(p.judge), eval_prompts)
reproducibility = None if elsewhere else card.build(this_run, p, conditions)
notes = results.notes(p, thresholds, trust, changed, elsewhere, found, reproducibility, (treatment, baseline))
notes += results.scale_notes(table)
by_suite = results.judges(table)
result = {**analysis, **decision, "notes": notes, "checks": [c.__dict__ for c in found], "judge": trust,
          "changed_since_stamp": changed, "card": reproducibility,
          "deviations": deviations.deviations(this_run, p, trust, elsewhere), "profile": None if elsewhere else p.profile,
          "run": this_run.name, "order": results.arm_order(p, analysis["arms"]), "judges": by_suite,
          "missing_for_verdict": results.missing_for_verdict(analysis, decision, elsewhere),
          "predictions": results.predictions(analysis, decision, thresholds),
          "judge_line": results.judge_line(trust, analysis["stripped"], by_suite)}
result["attempts"] = [] if elsewhere else attempts.record(this_run, p, result)
target = results.target(this_run, treatment, baseline, elsewhere)

print("VERDICT:", decision["verdict"], f"({decision['beside']['title']})" if decision["beside"]["title"] else "")
for line in result["missing_for_verdict"] or []:
    print("missing for a verdict:", line)
if not result["missing_for_verdict"]:
    print(decision["verdict_reason"])
for note in notes:
    print("·", note)
print(result["judge_line"])

# %%
display(HTML(show.gates_table(decision["gates"], decision["verdict"])))
display(HTML(show.table(pd.DataFrame(result["predictions"]), "The predictions of protocol section 1")))

# %%
p_value = f"one-sided p = {show.number(analysis['p_value'], '.4f')}"
tested = "described, not tested" if result["missing_for_verdict"] else p_value
print(f"Δ = {show.number(analysis['delta'], '+.2f')} points, {tested}, 95 % interval {show.interval(analysis['ci95'])}, "
      f"90 % interval {show.interval(analysis['ci90'])}, {show.plural(analysis['n_prompts'] or 0, 'prompt')}")
print(f"minimum detectable effect {show.number(analysis['mde'], '.2f')} points; headline: {analysis['headline']} "
      f"({analysis['headline_reason']})")
seeds = ", ".join(f"{row['seed']}: {row['delta']:+.2f}" for row in analysis["per_seed"] or [])
print(f"Δ by seed: {seeds} · {analysis['interval_note']}")
both = [{"score": kind, "Δ": show.number(s.get("delta"), "+.2f"), "p": show.number(s.get("p_value"), ".4f"),
         "95 % interval": show.interval(s.get("ci95")), "90 % interval": show.interval(s.get("ci90")), "MDE": show.number(s.get("mde"), ".2f"), "prompts": s.get("n_prompts")}
        for kind in ("filtered", "unfiltered") for s in [analysis[kind] or {}]]
display(HTML(show.table(pd.DataFrame(both), "With and without the coherence filter; both always show")))
for line in decision["beside"]["reasons"]:
    print("·", line)

# %% [markdown]
# ## Figures

# %%
figures = results.new_figures(target)
texts = {q.prompt_id: q.prompt for q in eval_prompts}
kind = analysis["headline"] or "unfiltered"
plots.save(plots.dumbbell(pd.DataFrame(analysis["per_prompt"]), texts, treatment, baseline, kind), figures, "per_prompt")

# %%
if analysis["resampled_histogram"]:
    plots.save(plots.bootstrap(analysis["resampled_histogram"], analysis["delta"], analysis["ci95"], thresholds), figures,
               "bootstrap")

# %%
order = result["order"]
over = results.intervals_over(analysis["arms"], thresholds["seeds_for_interval"])
plots.save(plots.arm_means(analysis["arms"], kind, order, over), figures, "arms")

# %%
plots.save(plots.reflex_rates(analysis["arms"], order, analysis["reflex_subset"]), figures, "reflex")

# %%
if analysis["standard_error"]:
    plots.save(plots.power_curve(analysis["standard_error"], analysis["delta"], thresholds), figures, "power")

# %%
scored = table[(table["suite"] == "alignment") & (table["replicate"] == 0) & (table["variant"] == "full")
               & (table["outcome"] == "scored")].astype({"aligned": float, "coherent": float})
plots.save(plots.scatter_alignment_coherence(scored, thresholds["coherent_floor"], order), figures, "coherence")

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
subsets = [{"subset": name, "Δ": show.number(s["delta"], "+.2f"), "95 % interval": show.interval(s["ci95"]),
            "prompts": s["n_prompts"]} for name, s in analysis["subsets"].items() if s]
display(HTML(show.table(pd.DataFrame(subsets), f"{treatment} − {baseline} by published set, points")))
display(HTML(show.table(results.arm_table(analysis["arms"], order), "Arms: means of per-prompt means, points; rates as shares")))

# %% [markdown]
# Attempts are part of the result. Every run on this base that has a result of the treatment is listed here, also where its
# folder is gone. Many attempts before a `supported` would be bad news.

# %%
if result["attempts"]:
    display(HTML(show.table(pd.DataFrame(result["attempts"]), "Every attempt on this base, oldest first")))

# %% [markdown]
# ## Deviations from the plan, and the reproducibility card
#
# What differs from the pre-registered full-scale plan is listed, so that nobody has to find it; what is unknown about
# this run fails the card.

# %%
for line in result["deviations"]:
    print("·", line)
if reproducibility:
    print("card complete" if reproducibility["complete"] else f"card FAILED, unknown: {', '.join(reproducibility['unknown'])}")
    fields = pd.DataFrame([{"field": k, "value": str(v)} for k, v in reproducibility["fields"].items()])
    display(HTML(show.table(fields, "Reproducibility card")))

# %% [markdown]
# ## The result
#
# It is written last, with the hash of every figure above: a stop before this line leaves the old result in place, and the
# report shows only figures that its result lists.

# %%
print("result.json sha256", results.write(target, stats.plain(result)))
