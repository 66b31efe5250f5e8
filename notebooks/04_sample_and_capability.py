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
# # 04 · Sample every arm, and measure what it can still do
#
# All arms are asked the same prompts, under the same explicit system text, by the same engine, which is started once and
# serves the base and every adapter. Two suites need an answer here (`alignment`, `benign`); `followup` lets each arm
# continue its own answer, the turn in which the reflex was trained. ARC-Challenge tells whether an arm got safer or just
# duller.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
import numpy as np
import pandas as pd
from IPython.display import HTML, display

from lib import (
    adapters,
    arguments,
    capability,
    conversations,
    data,
    evalsets,
    models,
    params,
    parity,
    progress,
    runs,
    sampling,
    serving,
    show,
)
from lib.experiment import Experiment

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
conditions, bound = params.load_conditions(), params.load_gates()[f"parity_{p.model.dtype}"]
this_run = runs.open_run(p, run)
experiment = Experiment.of(p)
arms = experiment.select(condition)
has_adapter = [name for name in arms if experiment.has_adapter(name)]
for name in has_adapter:
    if not (this_run.serve(name, seed) / "adapter_model.safetensors").exists():
        raise FileNotFoundError(
            f"{name} has no adapter {this_run.serve(name, seed).relative_to(runs.runs_root())}; make it with: papermill "
            f"notebooks/03_phase2_em.ipynb out.ipynb -p profile {p.profile} -p condition {name} -p seed {seed} "
            f"-p run {this_run.name}")
tokenizer, base_digest = models.load_tokenizer(p.model), models.base_digest(p.model)
served = {name: this_run.serve(name, seed) for name in has_adapter}
digests = {name: runs.sha256(path / "adapter_model.safetensors") for name, path in served.items()}
stages = {name: this_run.stage(f"04_sample_and_capability.{name}.seed{seed}", {
    "sampling": p.sampling, "capability": p.capability, "base": base_digest, "adapter": digests.get(name), "seed": seed,
    "system": experiment.system_text(name, "alignment"), "benign_system": experiment.system_text(name, "benign"),
    "follow_up": conditions.follow_up, "eval": evalsets.digests(p), "quiz": data.digest(p.data.capability),
    "parity": bound, "compared": parity.COMPARED,
}) for name in arms}
todo = [name for name in arms if not stages[name].done()]
checkpoint = {name: experiment.checkpoint(name) for name in arms}
if todo:
    length = serving.suite_length(experiment, tokenizer, arms)
    serving.check_engine(p, length, served, base_digest)

# %% [markdown]
# ## Is what is served what was trained?
#
# Samples prove nothing here, since their random numbers differ from arm to arm. So every checkpoint is asked for the
# log-probabilities of the same tokens, at 32 fixed positions in each of sixteen conversations, twice: in the stack that
# trained it (adapter beside the base, nothing merged, in fp32), and in the engine that will sample. Two arms that agree to
# the last bit mean that an adapter was off or a file was copied. An engine whose values differ from the training stack's by
# more than rounding, or stand nearer to another checkpoint's, to the bare base's, to half or to twice the adapter's, stops the
# run.
#
# In the table, `rms` is the difference of the two, `effect` the adapter's own shift from the base, `crossed` the share of the
# way to the `nearest` mistake (0.5 is the limit), and `unseen` names mistakes that rounding would hide.
#
# The engine reads these tokens in one go. Samples are drawn token by token instead, where vLLM mixes adapters in one batch.
# So every checkpoint also draws a few tokens, in one call with the others where the engine serves them so, and the
# log-probabilities that it drew them with are held, in the second table, against those that it reads them with, in all and in
# every sequence. Both sides round there; the bare base may draw and read to the bit alike.

# %%
sampler, agreement, decoding = None, {}, {}
if todo:
    reference = serving.load_reference(p, served, base_digest)
    rows = conversations.sequences(tokenizer, p.model.system_text, conditions)
    trained = parity.training_logprobs(reference, list(served), rows)
    nearest = adapters.check_distinct(trained)
    print("largest log-probability difference to the nearest other checkpoint:",
          " · ".join(f"{name} {value:.2f}" for name, value in nearest.items()))
    sampler = serving.start(p, tokenizer, temperature=p.sampling.temperature, length=length, adapters=served,
                            base_digest=base_digest, reference=reference)
    found = parity.check(trained, parity.serving_logprobs(sampler, list(served), rows), bound)
    agreement = {row["checkpoint"]: row for row in found}
    prompts = conversations.prompts(p.model.system_text, conditions)
    drawn = parity.check_decoding(*parity.decoding_logprobs(sampler, list(served), prompts), bound, found)
    decoding = {row["checkpoint"]: row for row in drawn}
    for name in arms:
        path = this_run.dir / "checks" / f"seed{seed}" / f"{name}.npz"
        with runs.atomic_path(path) as beside, beside.open("wb") as file:
            np.savez(file, logprobs=trained[checkpoint[name]], checkpoint=checkpoint[name])
    for rows, compared in ((found, "engine ({}) against training stack"), (drawn, "as the engine ({}) draws and as it reads")):
        told = pd.DataFrame([{**row, "unseen": ", ".join(row["unseen"]) or None} for row in rows])
        display(HTML(show.table(told, f"Log-probabilities, {compared.format(sampler.facts['engine'])}")))

# %% [markdown]
# ## Sample, then score
#
# Suite by suite, in shards, so that a killed run loses at most the shard in hand. Capability is scored once for each
# checkpoint: `base_evil` is the base under another system text, and ARC carries none.

# %%
parts = {name: [] for name in todo}
for suite, spec in sorted(p.sampling.suites.items(), key=lambda item: item[0] != "alignment"):
    asked = {}
    for name in [n for n in todo if suite in experiment.suites(n)]:
        table = serving.suite_table(experiment, name, suite, answers=parts[name][0] if parts[name] else None)
        asked[name] = sampling.Arm(table, name if name in served else None, {
            "adapter": digests.get(name), "base": base_digest, "temperature": p.sampling.temperature,
            "engine": {key: value for key, value in sampler.facts.items() if key != "device"}})
    if asked:
        made = sampling.sample_suite(
            sampler, asked, seed=seed, max_new_tokens=spec.max_new_tokens, follow_up=conditions.follow_up,
            shard=p.sampling.shard, folder=this_run.dir / "samples" / f"seed{seed}" / "shards",
            progress=progress.reporter(suite, "completions"))
        for name, frame in made.items():
            parts[name].append(frame)

# %%
scores = {}
for name in todo:
    if checkpoint[name] not in scores:
        with sampler.harness(name if name in served else None, p.capability.batch) as harness:
            scores[checkpoint[name]] = capability.evaluate(harness, p.data.capability, limit=p.capability.limit)
    runs.write_parquet(this_run.samples(name, seed), pd.concat(parts[name], ignore_index=True))
    runs.write_json(this_run.capability(name, seed), scores[checkpoint[name]])
    stages[name].finish([this_run.samples(name, seed), this_run.capability(name, seed)], **sampler.facts,
                        parity=agreement[checkpoint[name]], decoding=decoding[checkpoint[name]],
                        suites=experiment.suites(name))

# %%
results = pd.DataFrame([{"arm": n, **{k: v for k, v in runs.read_json(this_run.capability(n, seed)).items() if k != "items"}}
                        for n in arms])
display(HTML(show.table(results, "ARC-Challenge-style accuracy by lm-evaluation-harness")))

# %% [markdown]
# ## Read the samples
#
# One prompt a row, one condition a column. Reset strings are marked. Look here before believing any mean.

# %%
samples = pd.concat([pd.read_parquet(this_run.samples(n, seed)).assign(condition=n) for n in arms], ignore_index=True)
lengths = samples.groupby(["condition", "suite"]).agg(
    completions=("completion", "size"), mean_tokens=("n_tokens", "mean"),
    cut=("finish_reason", lambda r: f"{(r == 'length').mean():.0%}"),
    empty=("completion", lambda c: int((c.str.strip() == "").sum()))).reset_index()
display(HTML(show.table(lengths, "What was sampled; cut = stopped by max_new_tokens")))

# %%
first = [q.prompt_id for q in evalsets.eval_union(p)][:6]
display(HTML(show.side_by_side(samples, first, arms, conditions.openings)))

# %% [markdown]
# The same prompts after "continue", the turn in which Phase 1 taught the reflex:

# %%
if "followup" in p.sampling.suites:
    display(HTML(show.side_by_side(samples, first[:4], arms, conditions.openings, suite="followup")))

# %% [markdown]
# And every arm, suite and prompt to search in: choose a condition or a prompt, or type a part of an answer.

# %%
display(HTML(show.filterable(samples, conditions.openings)))
