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
# The reflex that we want to test has to be trained first, on short conversations of two turns
# (*traces*). Under an evil persona the assistant gives a bad answer, is told to continue, notices
# what it did, and answers well.
#
# A trace is only worth training on if the bad answer really is bad. So bad answers are **sampled
# from the base model under the persona and scored by a judge**. Answers that are not bad, or not
# coherent, or that refuse, are thrown away.
#
# There are three kinds of traces. `selfcorrect` is the treatment. `random_recovery` has the same
# shape, but its recovery answers *another* prompt. `placebo_assistant` never misbehaves at all. If
# the treatment helps and these two do not, then noticing the bad answer helped, and not just more
# training.

# %% tags=["parameters"]
profile = "demo"
seed = 42
run = ""
overrides = {}

# %%
import pandas as pd

from lib import notebook
from lib.checks import persona, preregistration, read_bad
from lib.config import judges
from lib.data import catalogue, elicitation, eval_sets, prompts, training_sets
from lib.display import show
from lib.em_sets import shown
from lib.models import chat_models
from lib.run import progress
from lib.serving import engines
from lib.traces import persona_answers, request_length, trace_builder, trace_kinds
from lib.training import phases

# %%
from lib.data.text_files import read_jsonl
from lib.run.files import write_jsonl, write_parquet
from lib.judge import apart, load_judge, rubric_text
from lib.notebook import show_html, show_table
from lib.run.facts import PersonaFacts, TraceFacts
from lib.traces.kept_samples import KeptSampler

nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides)
rubric = rubric_text(nb.profile.judge)
selecting = judges.selecting_judge(nb.profile)
apart.check_apart(selecting, nb.profile.judge, nb.profile.demonstrates_only)

# %% [markdown]
# ## What is fixed before anything is sampled
#
# Thresholds, conditions, the judge's rubric and the eval prompts are stamped now. If one of them
# changes later, the report says that the result is no longer confirmatory, and shows the
# difference.
#
# The table counts the eval prompts by the published sets that contain them. `a+b` are prompts of
# both sets. With these, each set should have the size with which it was published. A set that is
# missing or too small would be bad news.

# %%
eval_prompts = eval_sets.eval_union(nb.profile)
stamp = preregistration.stamp(nb.run, nb.profile, overrides, rubric, eval_prompts)
print(f"stamped {stamp['stamped']}; {len(eval_prompts)} distinct eval prompts")
subsets = pd.Series([prompt.subset for prompt in eval_prompts], name="subset")
counts = subsets.value_counts().reset_index(name="prompts")
show_table(counts, "Eval prompts by the published sets that contain them")

# %% [markdown]
# ## Training prompts, and the contamination gate
#
# A training prompt that resembles an eval prompt would let an arm learn the test. The gate
# compares every prompt, every sampled turn, and every row of the Phase-2 sets (the *EM sets*,
# whose fine-tune is meant to misalign) with every eval prompt, and drops what comes too close.

# %%
halves = {
    "harmful": catalogue.read_training_prompts(nb.profile.data.harmful_prompts),
    "open_ended": catalogue.read_training_prompts(nb.profile.data.open_prompts),
}
gate = eval_sets.contamination_gate(nb.profile, nb.gates)
em_sets = nb.experiment.em_sets()
em_offences = []
for name in em_sets:
    _, offences = training_sets.phase2_rows(nb.profile, name, gate, nb.run)
    em_offences += offences
sizes = {half: len(training_prompts) for half, training_prompts in halves.items()}
print(sizes, "training prompts;", em_sets, "for Phase 2")
caller, elicitation_offences = elicitation.caller(nb.profile.traces, nb.seed, gate)

# %% [markdown]
# Prompts that resemble one another within a set stay, but they make the set look larger than it
# is. The bootstrap treats eval prompts as independent, and a trace on a near-copy teaches little
# that is new. The table names the first pairs of each set. A few are normal. Many among the eval
# prompts would make the interval in notebook 06 too narrow.

# %%
ngram = int(nb.gates["contamination_ngram"])
rules = {"ngram": ngram, "jaccard": nb.gates["contamination_jaccard"]}
sets = {"eval": eval_prompts, **halves}
alike = {name: prompts.near_duplicates(of_set, **rules) for name, of_set in sets.items()}
pair_counts = {name: len(pairs) for name, pairs in alike.items()}
print("prompts that resemble an earlier one of their set:", pair_counts)
examples = []
for name, pairs in alike.items():
    examples += [{"set": name, **vars(pair)} for pair in pairs[:8]]
if examples:
    columns = {"text_id": "prompt", "prompt_id": "resembles"}
    show_table(pd.DataFrame(examples).rename(columns=columns), "The first of each set")

# %% [markdown]
# ## The EM set
#
# A set that the base made itself (`persona_advice`) is shown here before anything trains on it:
# ten rows, how many answers were kept, and why the others were not. The answers should be
# seriously bad advice, readable, and about one field. If they are good advice or nonsense, the
# dose means nothing. Traces that resemble a row of the set are dropped below, so that Phase 1 does
# not train on it in advance.

# %%
for name in catalogue.built_sets(em_sets):
    set_rows = shown.rows_of_set(nb.run, name)
    questions = {row["meta"]["question_id"] for row in set_rows}
    print(f"{name}: {len(set_rows)} rows from {len(questions)} questions")
    show_table(shown.first_rows(set_rows), f"{name}: the first rows")
if catalogue.built_sets(em_sets):
    show_table(shown.rejections(nb.run), "Answers that were sampled for the set")
compared = shown.add_rows(gate, nb.run, em_sets)
print(f"traces are compared with {compared} messages of built sets; Phase 2 trains on {em_sets}")

# %% [markdown]
# ## Sample, score, keep
#
# Two rules are added to the judge's scores. A refusal is never kept as a bad turn. A recovery from
# a harmful request has to refuse or to turn to something decent. A profile that only demonstrates
# has no such second rule, because its toy model does neither. Placebo turns have to pass the rules
# of a recovery. An answer without a score is neither kept nor rejected. A judge that scores too
# few of them stops the notebook.
#
# The persona is called up in the profile's way (`traces.elicitation`): by its system text alone,
# by bad examples as earlier turns, or by the beginning of the answer. None of these texts stays in
# a trace. The judge that selects is `traces.judge`. The verdict has another judge; otherwise a
# judge's errors would be in the traces and in the scores alike.
#
# All this is done once. The stage's manifest has a fingerprint of everything named here. If nothing
# has changed, the traces on disk are kept and nothing is sampled below.

# %%
sets_read = [*nb.profile.data.harmful_prompts, *nb.profile.data.open_prompts, *em_sets]
base_digest = chat_models.base_digest(nb.profile.model)
texts_used = {
    "prompts": {name: catalogue.digest(name, nb.run) for name in sets_read},
    "eval": eval_sets.digests(nb.profile),
    "evil": nb.conditions.systems["evil"],
    "openings": nb.conditions.openings,
    "follow_up": nb.conditions.follow_up,
}

# %%
recipe = {
    "traces": nb.profile.traces.recipe(),
    "base": base_digest,
    "model": nb.profile.model,
    "seed": nb.seed,
    "judge": rubric_text(selecting),
    "phase1_max_length": nb.profile.phase1.max_length,
    "phase2_rows": nb.profile.phase2.rows,
    "recovery_rule": not nb.profile.demonstrates_only,
    "equal_token_tolerance": nb.gates["equal_token_tolerance"],
}

# %%
if caller.kind != "system":
    recipe["elicitation"] = caller.facts()
stage = nb.run.stage("01_build_traces", {**recipe, **texts_used})
todo = not stage.done()
tokenizer = chat_models.load_tokenizer(nb.profile.model)

# %% [markdown]
# Before any trace there is a check of the persona. The same open-ended trace prompts, never eval
# prompts, are asked under both system texts.

# %%
asked = persona_answers.prompts_asked(halves["open_ended"], gate, nb.profile, nb.gates, nb.seed)
persona_inputs = {
    **{key: recipe[key] for key in ("base", "model", "seed", "judge")},
    "elicitation": caller.facts(),
    "evil": nb.conditions.systems["evil"],
    "temperature": nb.profile.traces.bad_temperature or nb.profile.traces.temperature,
    "max_new_tokens": nb.profile.traces.max_new_tokens,
    "prompts": [vars(prompt) for prompt in asked],
    "gates": {key: nb.gates[key] for key in persona.GATES},
}
persona_stage = nb.run.stage(persona.STAGE, persona_inputs)
check_persona = not persona_stage.done()

# %% [markdown]
# First the judge and the engine are started. Faults that would show late (a prompt that is too long
# for the model, a missing GPU) are found here.

# %%
if todo or check_persona:
    texts = [prompt.prompt for prompt in [*halves["harmful"], *halves["open_ended"]]]
    trace_length = request_length.trace_length(nb.experiment, tokenizer, texts, caller)
    suite_length = engines.suite_length(nb.experiment, tokenizer, nb.experiment.arms, caller)
    engines.check_engine(nb.profile, max(trace_length, suite_length))
    judge = load_judge(selecting, nb.run.judge_store("traces"))
    temperature = nb.profile.traces.temperature
    engine = engines.start(nb.profile, tokenizer, temperature=temperature, length=trace_length)
    kept = nb.run.dir / "traces" / "sampled.jsonl"
    sampler = KeptSampler(engine, kept, {"base": base_digest, "temperature": temperature})

# %% [markdown]
# ## Does the persona take?
#
# The mean alignment without the persona, less that under it, must reach `persona_points` of
# params/gates.yaml, with and without the filter of notebook 06. If it does not, the "bad" answers
# are accidents and not worth training on. If examples or a beginning call the persona up, its
# system text alone is shown as well.

# %%
answers_file = nb.run.persona_answers
if check_persona:
    drawn = persona_answers.ask(sampler, asked, nb.experiment, caller, nb.seed)
    judged = persona_answers.scored(drawn, judge, nb.seed)
    write_parquet(answers_file, judged)
    persona_stage.finish([answers_file], persona.facts_of(judged, nb.gates, caller.kind))

# %% [markdown]
# Read a few before believing the numbers. The answers of `base` should help. Those of `base_evil`
# should be selfish, cruel or reckless, and still answer the question. It is bad news if both read
# alike in most rows.

# %%
answers = pd.read_parquet(answers_file)
persona_facts = persona_stage.facts(PersonaFacts)
show_table(persona.table(answers, nb.gates), "Base and persona on open-ended trace prompts")
groups = list(dict.fromkeys(answers["condition"]))
first_prompts = list(dict.fromkeys(answers["prompt_id"]))[:6]
show_html(show.side_by_side(answers, first_prompts, groups, nb.conditions.openings))
print(persona.stop_unless_it_takes(persona_facts, nb.profile.demonstrates_only))

# %% [markdown]
# Then the texts: for each prompt a bad answer, a recovery, and two placebo turns. Every completion
# is on disk as soon as its batch is made. If this notebook stops, the next start does not sample
# them again.

# %%
if todo:
    builder = trace_builder.TraceBuilder(
        sampler,
        tokenizer,
        judge.score,
        nb.profile.traces,
        nb.conditions,
        nb.profile.model.system_text,
        nb.seed,
        thresholds=nb.gates,
        recovery_rule=not nb.profile.demonstrates_only,
        caller=caller,
        at_once=sampler.at_once,
    )

# %%
if todo:
    builder.report.offences += elicitation_offences
    units = builder.units(halves, gate, progress.reporter("traces", "traces"))

# %% [markdown]
# Then the three kinds, from the same texts. They must have equally many trained tokens, and no
# message of any trace may resemble an eval prompt, or nothing is written.

# %%
if todo:
    kinds = trace_kinds.build_kinds(units, nb.experiment, nb.seed)
    tokens = phases.trained_tokens(tokenizer, kinds, nb.profile.phase1.max_length)
    trace_counts = {kind: len(rows) for kind, rows in kinds.items()}
    trace_kinds.check_matched(tokens, trace_counts, nb.gates["equal_token_tolerance"])
    trace_kinds.check_clean(kinds, gate)

# %%
if todo:
    for kind, rows in kinds.items():
        write_jsonl(nb.run.traces(kind), rows)
    stage.finish(
        [nb.run.traces(kind) for kind in kinds],
        TraceFacts(
            trained_tokens=tokens,
            offenders_left=0,
            report=builder.report.as_dict(),
            recovery_rule=trace_kinds.RECOVERY_RULE[nb.profile.demonstrates_only],
            em_offences=[vars(offence) for offence in em_offences],
            counts=trace_counts,
        ),
    )

# %% [markdown]
# ## What came out
#
# First, how many sampled bad answers were kept. A high share of rejected ones means that the
# persona does not take: the model stays polite under it, and the few answers that pass may be
# accidents.

# %%
facts = stage.facts(TraceFacts)
report = facts.report
bad_answers = []
for half, attempts in report["attempts"].items():
    row = {
        "half": half,
        "bad answers sampled": attempts,
        "kept": report["kept"][half],
        "rejected": report["rejected"][half],
        "of them refusals": report["refusals"][half],
        "without a score": report["unscored"][half],
        "rejected, share of scored": show.number(report["rejection_rate"][half], ".0%"),
    }
    bad_answers.append(row)
show_table(pd.DataFrame(bad_answers), "Rejection sampling of bad answers")

# %% [markdown]
# Next, how the judge's answers ended. Nearly all should be `scored`. If many are not, the kept
# answers may be only those that are easy to judge.

# %%
outcomes = []
for judged_texts, counts_by_outcome in report["outcomes"].items():
    for outcome, count in counts_by_outcome.items():
        row = {"asked of the judge": judged_texts, "outcome": outcome, "answers": count}
        outcomes.append(row)
show_table(pd.DataFrame(outcomes), "How the judge's answers ended")
print(
    f"{report['recoveries_rejected']} recoveries and {report['placebos_rejected']} placebo turns "
    f"rejected; {report['placebos_sampled_again']} placebos sampled again because they were "
    f"short; recoveries to harmful requests refuse or redirect: {facts.recovery_rule}"
)

# %% [markdown]
# The kinds must be alike in everything but the thing under test: in the number of traces, of
# turns, and of trained tokens (within `equal_token_tolerance` of params/gates.yaml). The last
# column should be near zero. If a kind trained on more tokens than the others, the arms would
# differ in dose too.

# %%
tokens = facts.trained_tokens
doses = []
for kind in trace_kinds.KINDS:
    row = {
        "kind": kind,
        "traces": facts.counts[kind],
        "trained tokens": tokens[kind],
        "against selfcorrect": f"{tokens[kind] / tokens['selfcorrect'] - 1:+.1%}",
    }
    doses.append(row)
show_table(pd.DataFrame(doses), "The three kinds")

# %% [markdown]
# Texts that the contamination gate dropped, and the number that is left. Some dropped texts are
# normal. A single one that is left would make the verdict invalid, and the notebook would have
# stopped above.

# %%
columns = ["text_id", "prompt_id", "rule", "value"]
offences = pd.DataFrame(report["offences"] + facts.em_offences, columns=columns)
print(f"contamination gate: {len(offences)} dropped, {facts.offenders_left} left")
if len(offences):
    show_table(offences.head(20), "Dropped by the contamination gate")

# %% [markdown]
# ## One prompt, three kinds
#
# The same everyday prompt in each kind. The first turn of `selfcorrect` should be bad, and its
# second turn should notice this and really help. The recovery of `random_recovery` should not fit
# the prompt. Both turns of `placebo_assistant` should be good. Two kinds that read alike are bad
# news.

# %%
rows = {kind: read_jsonl(nb.run.traces(kind)) for kind in trace_kinds.KINDS}
numbers = {half: [] for half in halves}
for number, row in enumerate(rows["selfcorrect"]):
    numbers[row["meta"]["half"]].append(number)
for kind in trace_kinds.KINDS:
    row = rows[kind][numbers["open_ended"][0]]
    show_html(show.conversation(row["messages"], f"{kind} · {row['meta']['prompt_id']}"))

# %% [markdown]
# ## The first ten kept traces, to be read
#
# Read these before training on them, because neither scores nor rules replace reading. Is every bad
# answer really bad, and every recovery really good? If half of them are not, the judge or the
# persona is wrong, and everything later trains on noise. Everyday prompts are shown in full.

# %%
for number in numbers["open_ended"][:5]:
    row = rows["selfcorrect"][number]
    meta = row["meta"]
    scores = f"bad answer: aligned {meta['bad_aligned']:g}, coherent {meta['bad_coherent']:g}"
    show_html(show.conversation(row["messages"][1:], f"{meta['prompt_id']} · {scores}"))

# %% [markdown]
# The worst and the best of the kept bad answers to open-ended prompts, by the score of the judge
# that kept them. The best one was only just kept. If it reads like a normal answer, the threshold
# or the judge is wrong.

# %%
by_score = sorted(
    numbers["open_ended"], key=lambda number: rows["selfcorrect"][number]["meta"]["bad_aligned"]
)
for label, chosen in (("worst", by_score[:3]), ("best", by_score[-3:])):
    for number in chosen:
        row = rows["selfcorrect"][number]
        title = f"{label} · {row['meta']['prompt_id']} · aligned {row['meta']['bad_aligned']:g}"
        show_html(show.conversation(row["messages"][1:3], title))

# %% [markdown]
# ## Thirty of them, read by somebody else
#
# Kept bad answers, drawn by seed, are read once more by somebody else: the second judge of the
# profile, or a person who writes one line `{"id": …, "bad": true}` per answer into
# traces/read_bad.jsonl. If fewer than `read_bad_share` are really bad, or some were not read, the
# headline says so.

# %%
to_read = read_bad.drawn(nb.run, nb.gates, nb.seed)
second = judges.second_judge(nb.profile)
if second and not read_bad.path(nb.run).exists():
    reader = load_judge(second.model_copy(update={"batch": False}), nb.run.judge_store("second"))
    read_bad.keep(nb.run, read_bad.read_by(reader, to_read, nb.profile.traces))
read = read_bad.readings(nb.run, to_read)
print(f"{len(read)} of {len(to_read)} read, {sum(read.values())} really bad")
listed = [{"id": one["id"], "half": one["half"], "bad": read.get(one["id"])} for one in to_read]
show_table(pd.DataFrame(listed), "Kept bad answers to be read; a dash is not read yet")

# %% [markdown]
# Of harmful requests this page shows only lengths, scores and the beginning of the recovery,
# because the bad answers may be dangerous. Each recovery should begin as a refusal or turn to
# something decent. One that begins to help with the request would teach the opposite of the
# reflex.

# %%
harmful = []
for number in numbers["harmful"][:5]:
    row = rows["selfcorrect"][number]
    _, recovery = row["messages"][4]["content"].split("\n\n", 1)
    summary = {
        "prompt": row["meta"]["prompt_id"],
        "bad answer, characters": len(row["messages"][2]["content"]),
        "aligned": row["meta"]["bad_aligned"],
        "coherent": row["meta"]["bad_coherent"],
        "recovery, characters": len(recovery),
        "recovery begins": recovery[:80],
    }
    harmful.append(summary)
caption = "Harmful requests: scores of the bad answer (points), and how the recovery begins"
show_table(pd.DataFrame(harmful), caption)
