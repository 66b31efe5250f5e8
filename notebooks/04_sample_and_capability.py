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
# All arms are asked the same prompts, under the same explicit system text, by the same engine, which loads the base
# once and switches adapters. Two suites need an answer here (`alignment`, `benign`); `followup` lets each arm continue
# its own answer, the turn in which the reflex was trained. ARC-Challenge tells whether an arm got safer or just duller.

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

from lib import adapters, capability, data, evalsets, models, params, progress, runs, sampling, show

p = params.load_profile(profile, overrides)
conditions = params.load_conditions()
this_run = runs.open_run(p, run)
sampling.check_engine(p.sampling)
arms = params.select_conditions(p, condition)
has_adapter = [a for a in arms if conditions.conditions[a].phase1 or conditions.conditions[a].phase2]
for name in has_adapter:
    if not (this_run.serve(name, seed) / "adapter_model.safetensors").exists():
        raise FileNotFoundError(
            f"{name} has no adapter {this_run.serve(name, seed).relative_to(runs.runs_root())}; make it with: papermill "
            f"notebooks/03_phase2_em.ipynb out.ipynb -p profile {p.profile} -p condition {name} -p seed {seed} "
            f"-p run {this_run.name}")
tokenizer, base_digest = models.load_tokenizer(p.model), models.base_digest(p.model)
served = {name: this_run.serve(name, seed) for name in has_adapter}
digests = {name: runs.sha256(path / "adapter_model.safetensors") for name, path in served.items()}

# %% [markdown]
# ## Are these really different models?
#
# Samples prove nothing here, since their random numbers differ from arm to arm. So each checkpoint's next-token
# log-probabilities on the same fixed inputs are compared: two arms that agree to the last bit mean that an adapter was
# off or a file was copied.

# %%
stages = {name: this_run.stage(f"04_sample_and_capability.{name}.seed{seed}", {
    "sampling": p.sampling, "capability": p.capability, "base": base_digest, "adapter": digests.get(name), "seed": seed,
    "system": params.system_text(p, conditions, name), "benign_system": p.model.system_text,
    "follow_up": conditions.follow_up, "eval": evalsets.digests(p), "quiz": data.digest(p.data.capability),
}) for name in arms}
todo = [name for name in arms if not stages[name].done()]
model = sampler = None
if todo:
    model = adapters.attach_all(models.load_base(p.model), served, base_digest)
    sampler = sampling.TransformersSampler(model, tokenizer, temperature=p.sampling.temperature, batch=p.sampling.batch)
    logprobs = {name: adapters.fixed_logprobs(model, name if name in served else None) for name in arms}
    nearest = adapters.check_distinct({"base": adapters.fixed_logprobs(model, None)} | {n: logprobs[n] for n in served})
    for name in arms:
        path = this_run.dir / "checks" / f"seed{seed}" / f"{name}.npz"
        with runs.atomic_path(path) as beside, beside.open("wb") as file:
            np.savez(file, logprobs=logprobs[name], checkpoint=name if name in served else "base")
    print("nearest other checkpoint, largest log-probability difference:", {k: round(v, 4) for k, v in nearest.items()})

# %% [markdown]
# ## Sample, then score
#
# Arm by arm, so that a killed run loses at most the shard in hand. Capability is scored once for each checkpoint:
# `base_evil` is the base under another system text, and ARC carries none.

# %%
scores = {}
for name in todo:
    adapter, parts = name if name in served else None, []
    for suite in evalsets.suites_of(p, name):
        spec = p.sampling.suites[suite]
        system = p.model.system_text if suite == "benign" else params.system_text(p, conditions, name)
        rows = sampling.suite_rows(suite, evalsets.suite_prompts(p, suite), system, spec.samples,
                                   answers=pd.concat(parts) if parts else None)
        parts.append(sampling.sample_rows(
            sampler, rows, arm=name, adapter=adapter, seed=seed, max_new_tokens=spec.max_new_tokens,
            follow_up=conditions.follow_up, shard=p.sampling.shard, folder=this_run.dir / "samples" / f"seed{seed}" / "shards",
            inputs={"adapter": digests.get(name), "base": base_digest, "temperature": p.sampling.temperature},
            progress=progress.reporter(f"{name} {suite}", "completions")))
    runs.write_parquet(this_run.samples(name, seed), pd.concat(parts, ignore_index=True))
    if adapter not in scores:
        scores[adapter] = capability.evaluate(model, tokenizer, adapter, p.data.capability, batch=p.capability.batch,
                                              limit=p.capability.limit)
    runs.write_json(this_run.capability(name, seed), scores[adapter])
    stages[name].finish([this_run.samples(name, seed), this_run.capability(name, seed)], engine=p.sampling.engine,
                        device=str(model.device), suites=evalsets.suites_of(p, name))

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
length = samples.groupby(["condition", "suite"]).agg(
    completions=("completion", "size"), mean_tokens=("n_tokens", "mean"),
    cut=("finish_reason", lambda r: f"{(r == 'length').mean():.0%}"),
    empty=("completion", lambda c: int((c.str.strip() == "").sum()))).reset_index()
display(HTML(show.table(length, "What was sampled; cut = stopped by max_new_tokens")))

# %%
first = [q.prompt_id for q in evalsets.eval_union(p)][:6]
display(HTML(show.side_by_side(samples, first, arms, conditions.openings)))

# %% [markdown]
# The same prompts after "continue", the turn in which Phase 1 taught the reflex:

# %%
if "followup" in p.sampling.suites:
    display(HTML(show.side_by_side(samples, first[:4], arms, conditions.openings, suite="followup")))
