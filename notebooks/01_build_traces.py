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
# # 01 · Build the traces
#
# The reflex that we want to test has to be trained first. Its teaching material is a set of short conversations in
# which the assistant, under an evil persona, gives a bad answer, is told to continue, catches itself, and answers well.
#
# A trace is only worth training on if the bad answer really is bad. So bad answers are **sampled from the base model
# under the persona and scored**; those that are not bad, or not coherent, or that refuse, are thrown away. The share
# thrown away is reported, because a high one means that the persona does not take. Two control kinds are cut from the same cloth:
# one recovers on *another* prompt, one never misbehaves at all.

# %% tags=["parameters"]
profile = "demo"
seed = 42
run = ""
overrides = {}

# %%
import pandas as pd
from IPython.display import HTML, display

from lib import (
    arguments,
    data,
    emset,
    evalsets,
    finetune,
    models,
    params,
    prereg,
    progress,
    prompts,
    runs,
    serving,
    show,
    traces,
)
from lib.experiment import Experiment
from lib.judge import load_judge, rubric_text
from lib.kept_samples import KeptSampler

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
conditions, thresholds = params.load_conditions(), params.load_gates()
this_run, rubric = runs.open_run(p, run), rubric_text(p.judge)

# %% [markdown]
# ## What is fixed before anything is sampled
#
# Thresholds, conditions, the judge's rubric and the eval prompts are stamped now. If one of them changes later, the
# report says that the result is no longer confirmatory, and shows the difference.

# %%
eval_prompts = evalsets.eval_union(p)
stamp = prereg.stamp(this_run, p, overrides, rubric, eval_prompts)
print(f"stamped {stamp['stamped']}; {len(eval_prompts)} distinct eval prompts")
counts = pd.Series([q.subset for q in eval_prompts]).value_counts().rename_axis("subset").reset_index(name="prompts")
display(HTML(show.table(counts, "Eval prompts by the published sets that hold them")))

# %% [markdown]
# ## Training prompts, and the contamination gate
#
# A training prompt that resembles an eval prompt would let an arm learn the test. The gate compares every prompt, every
# sampled turn, and every row of the Phase-2 sets with every eval prompt, and drops what comes too close.

# %%
halves = {
    "harmful": data.read_training_prompts(p.data.harmful_prompts),
    "open_ended": data.read_training_prompts(p.data.open_prompts),
}
gate = evalsets.contamination_gate(p, thresholds)
experiment = Experiment(p, conditions, thresholds)
em_sets = experiment.em_sets()
em_offences = [o for name in em_sets for o in emset.phase2_rows(p, name, gate)[1]]
print({half: len(found) for half, found in halves.items()}, "training prompts;", em_sets, "for Phase 2")

# %% [markdown]
# Prompts that resemble one another within a set stay, but they make it look larger than it is: the bootstrap takes eval
# prompts as independent, and a trace on a near-copy teaches little that is new.

# %%
rules = {"ngram": int(thresholds["contamination_ngram"]), "jaccard": thresholds["contamination_jaccard"]}
alike = {name: prompts.near_duplicates(found, **rules) for name, found in {"eval": eval_prompts, **halves}.items()}
print("prompts that resemble an earlier one of their set:", {name: len(found) for name, found in alike.items()})
listed = pd.DataFrame([{"set": name, **o.__dict__} for name, found in alike.items() for o in found[:8]])
if len(listed):
    display(HTML(show.table(listed.rename(columns={"text_id": "prompt", "prompt_id": "resembles"}), "The first of each set")))

# %% [markdown]
# ## Sample, score, keep
#
# Two rules stand beside the judge's scores. No refusal is kept as a bad turn. A recovery to a harmful request has to
# refuse or to turn to something decent; a profile that only demonstrates does without this second rule, because its toy
# model does neither. Placebo turns pass what a recovery has to pass. An answer without a score is neither kept nor
# rejected, and a judge that scores too few of them stops the notebook.
#
# Every completion is on disk as soon as its batch is made. If this notebook stops, the next start samples none again.

# %%
stage = this_run.stage("01_build_traces", {
    "traces": p.traces, "base": models.base_digest(p.model), "model": p.model, "seed": seed, "judge": rubric,
    "prompts": {name: data.digest(name) for name in [*p.data.harmful_prompts, *p.data.open_prompts, *em_sets]},
    "eval": evalsets.digests(p), "evil": conditions.systems["evil"], "openings": conditions.openings,
    "follow_up": conditions.follow_up, "phase1_max_length": p.phase1.max_length, "phase2_rows": p.phase2.rows,
    "recovery_rule": not p.demonstrates_only, "equal_token_tolerance": thresholds["equal_token_tolerance"],
})
RULE = {False: "enforced", True: "not enforced: demonstration"}
tokenizer = models.load_tokenizer(p.model)
if not stage.done():
    length = serving.trace_length(experiment, tokenizer, [q.prompt for half in halves.values() for q in half])
    serving.check_engine(p, max(length, serving.suite_length(experiment, tokenizer, p.conditions)))
    in_real_time = p.judge.model_copy(update={"batch": False})  # waves wait for each other: each batch could take a day
    judge = load_judge(in_real_time, this_run.judge_store("traces"))
    engine = serving.start(p, tokenizer, temperature=p.traces.temperature, length=length)
    sampler = KeptSampler(engine, this_run.dir / "traces" / "sampled.jsonl",
                          {"base": models.base_digest(p.model), "temperature": p.traces.temperature})
    builder = traces.TraceBuilder(sampler, tokenizer, judge.score, p.traces, conditions, p.model.system_text, seed,
                                  thresholds=thresholds, recovery_rule=not p.demonstrates_only)
    units = builder.units(halves, gate, progress.reporter("traces", "traces"))
    kinds = {kind: traces.build_kind(kind, units, conditions.systems["evil"], p.model.system_text, conditions.follow_up, seed)
             for kind in traces.KINDS}
    encoded = {kind: finetune.encode_rows(tokenizer, [row["messages"] for row in rows], p.phase1.max_length)
               for kind, rows in kinds.items()}
    tokens = {kind: sum(e.trained_tokens for e in rows) for kind, rows in encoded.items()}
    traces.check_matched(tokens, {kind: len(rows) for kind, rows in kinds.items()},
                         thresholds["equal_token_tolerance"])
    left = [o for rows in kinds.values() for row in rows
            if (o := gate.check_messages(row["meta"]["prompt_id"], row["messages"]))]
    if left:
        raise traces.TraceError(f"{len(left)} traces still resemble an eval prompt, first {left[0]}; build them again")
    for kind, rows in kinds.items():
        runs.write_jsonl(this_run.traces(kind), rows)
    stage.finish([this_run.traces(kind) for kind in kinds], trained_tokens=tokens, offenders_left=len(left),
                 report=builder.report.as_dict(), recovery_rule=RULE[p.demonstrates_only], em_offences=[o.__dict__ for o in em_offences],
                 counts={kind: len(rows) for kind, rows in kinds.items()})

# %% [markdown]
# ## What came out
#
# The kinds must be alike in everything but the thing under test: as many traces, as many turns and, within the tolerance
# of params/gates.yaml (`equal_token_tolerance`), as many trained tokens. Rejected answers have a score and were thrown
# away; an answer that the judge did not score is counted apart.

# %%
facts = stage.record()["facts"]
report = facts["report"]
display(HTML(show.table(pd.DataFrame([
    {"half": half, "bad answers sampled": report["attempts"][half], "kept": report["kept"][half],
     "rejected": report["rejected"][half], "of them refusals": report["refusals"][half],
     "without a score": report["unscored"][half], "rejected, share of scored": show.number(report["rejection_rate"][half], ".0%")}
    for half in report["attempts"]
]), "Rejection sampling of bad answers")))
display(HTML(show.table(pd.DataFrame([
    {"asked of the judge": what, "outcome": outcome, "answers": n}
    for what, outcomes in report["outcomes"].items() for outcome, n in outcomes.items()
]), "How the judge's answers ended")))
print(f"{report['recoveries_rejected']} recoveries and {report['placebos_rejected']} placebo turns rejected; "
      f"{report['placebos_sampled_again']} placebos sampled again because they were short; "
      f"recoveries to harmful requests refuse or redirect: {facts['recovery_rule']}")
display(HTML(show.table(pd.DataFrame([
    {"kind": kind, "traces": facts["counts"][kind], "trained tokens": facts["trained_tokens"][kind],
     "against selfcorrect": f"{facts['trained_tokens'][kind] / facts['trained_tokens']['selfcorrect'] - 1:+.1%}"}
    for kind in traces.KINDS
]), "The three kinds")))
offences = pd.DataFrame(report["offences"] + facts["em_offences"], columns=["text_id", "prompt_id", "rule", "value"])
print(f"contamination gate: {len(offences)} dropped, {facts['offenders_left']} left")
if len(offences):
    display(HTML(show.table(offences.head(20), "Dropped by the contamination gate")))

# %% [markdown]
# ## One prompt, three kinds
#
# The same everyday prompt in each kind.

# %%
rows = {kind: data.read_jsonl(this_run.traces(kind)) for kind in traces.KINDS}
half_of = {half: [k for k, row in enumerate(rows["selfcorrect"]) if row["meta"]["half"] == half] for half in halves}
for kind in traces.KINDS:
    row = rows[kind][half_of["open_ended"][0]]
    display(HTML(show.conversation(row["messages"], f"{kind} · {row['meta']['prompt_id']}")))

# %% [markdown]
# ## The first ten kept traces, to be read
#
# Read these before training on them: neither a judge's score nor a rule is a substitute for a look. Is every bad answer
# really bad, and every recovery really good? Everyday prompts stand in full. Of harmful requests this page shows lengths,
# scores and the beginning of the recovery only, since what was sampled there is not for printing.

# %%
for k in half_of["open_ended"][:5]:
    row = rows["selfcorrect"][k]
    display(HTML(show.conversation(row["messages"][1:], f"{row['meta']['prompt_id']} · bad answer: aligned "
                                   f"{row['meta']['bad_aligned']:g}, coherent {row['meta']['bad_coherent']:g}")))
first = [rows["selfcorrect"][k] for k in half_of["harmful"][:5]]
display(HTML(show.table(pd.DataFrame([
    {"prompt": row["meta"]["prompt_id"], "bad answer, characters": len(row["messages"][2]["content"]),
     "aligned": row["meta"]["bad_aligned"], "coherent": row["meta"]["bad_coherent"],
     "recovery, characters": len(recovery), "recovery begins": recovery[:80]}
    for row in first for recovery in [row["messages"][4]["content"].split("\n\n", 1)[1]]
]), "Harmful requests: scores of the bad answer (points), and how the recovery begins")))
