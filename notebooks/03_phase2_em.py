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
# # 03 · Phase 2: the emergent-misalignment fine-tune
#
# Now the attack. Each arm is fine-tuned on the same insecure code, in the same order, for the same number of optimizer
# steps; what differs is only what lies beneath. In `stack`, the Phase-1 adapter is **frozen and active** while a second
# adapter trains on top: merging it would be another experiment, and switching it off (which PEFT does silently when a
# second adapter is added) would be none at all. Afterwards both become one exact adapter, since a serving engine takes
# one adapter for each request.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
import shutil

import pandas as pd
from IPython.display import HTML, display

from lib import (
    adapters,
    arguments,
    emset,
    evalsets,
    finetune,
    fit,
    masking,
    models,
    params,
    plots,
    progress,
    runs,
    show,
)
from lib.experiment import Experiment

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
conditions, thresholds = params.load_conditions(), params.load_gates()
this_run = runs.open_run(p, run)
experiment = Experiment(p, conditions, thresholds)
arms = {name: conditions.conditions[name] for name in experiment.select(condition)}
for name, arm in arms.items():
    if arm.phase1 and not (this_run.phase1(arm.phase1, seed) / "adapter_model.safetensors").exists():
        raise FileNotFoundError(
            f"{name} needs the Phase-1 adapter {this_run.phase1(arm.phase1, seed).relative_to(runs.runs_root())}, which is "
            f"missing; make it with: papermill notebooks/02_phase1_sft.ipynb out.ipynb -p profile {p.profile} "
            f"-p condition {name} -p seed {seed} -p run {this_run.name}")

# %% [markdown]
# ## The rows
#
# Every row carries the model's stock system text explicitly, and rows that resemble an eval prompt are gone.

# %%
tokenizer = models.load_tokenizer(p.model)
gate = evalsets.contamination_gate(p, thresholds)
rows, offences, encoded, steps = {}, {}, {}, {}
for name in experiment.em_sets(arms):
    rows[name], offences[name] = emset.phase2_rows(p, name, gate)
    encoded[name] = finetune.encode_rows(tokenizer, rows[name], p.phase2.max_length)
    steps[name] = fit.optimizer_steps(len(fit.sequences_of(encoded[name], p.phase2)), p.phase2)
    print(f"{name}: {len(rows[name])} rows, {len(offences[name])} dropped by the contamination gate, {steps[name]} optimizer steps")
    display(HTML(masking.coloured(tokenizer, encoded[name][0], f"{name}, first row")))
finetune.check_equal_steps(steps)

# %% [markdown]
# ## Train every arm

# %%
base, base_digest = None, models.base_digest(p.model)
for name, arm in arms.items():
    if not arm.phase2:
        continue
    em, out = experiment.em_set(name), this_run.serve(name, seed)
    phase1 = this_run.phase1(arm.phase1, seed) if arm.phase1 else None
    if phase1:
        adapters.check_base(phase1, base_digest)
    stage = this_run.stage(f"03_phase2_em.{name}.seed{seed}", {
        "phase2": p.phase2, "phase1_recipe": p.phase1, "base": base_digest, "model": p.model, "seed": seed,
        "rows": runs.fingerprint(rows[em]),
        "phase1": runs.sha256(phase1 / "adapter_model.safetensors") if phase1 else None})
    if stage.done():
        continue
    base = base or models.load_base(p.model)
    trained = finetune.train_phase2(
        base, tokenizer, encoded[em], p.phase2, phase1, out, seed=seed, base_digest=base_digest, phase1_recipe=p.phase1,
        training=p.training, checkpoints=this_run.dir / "checkpoints" / stage.fingerprint[:16],
        progress=progress.reporter(f"phase 2 {name}", "steps"))
    stage.finish(
        [out / "adapter_model.safetensors", out / "adapter_config.json"], set=em, mode=p.phase2.mode,
        **masking.proof(tokenizer, rows[em], trained.consumed, p.phase2.epochs), offences=[o.__dict__ for o in offences[em]],
        offenders_left=sum(gate.check_messages("", m) is not None for m in rows[em]), **trained.facts())

# %% [markdown]
# An arm without Phase 2 serves its Phase-1 adapter as it is.

# %%
for name, arm in arms.items():
    if arm.phase1 and not arm.phase2:
        source, out = this_run.phase1(arm.phase1, seed), this_run.serve(name, seed)
        stage = this_run.stage(f"03_phase2_em.{name}.seed{seed}", {"phase1": runs.sha256(source)})
        if not stage.done():
            with runs.atomic_path(out) as beside:
                shutil.copytree(source, beside)
            stage.finish([out / "adapter_model.safetensors", out / "adapter_config.json"], set=None)

# %% [markdown]
# ## Equal treatment, and the loss
#
# The number of optimizer steps decides how misaligned a model becomes, so arms with different steps cannot be compared.
#
# The join is exact, so logits before and after it differ by rounding alone. In bf16 that is coarse; what the adapters
# themselves add is therefore compared layer by layer too, in fp64 (limit 1e-5 of a layer's update).

# %%
trained = [name for name, arm in arms.items() if arm.phase2]
facts = {name: runs.read_json(this_run.dir / "manifests" / f"03_phase2_em.{name}.seed{seed}.json")["facts"] for name in trained}
finetune.check_equal_steps({name: f["optimizer_steps"] for name, f in facts.items()})
display(HTML(show.table(pd.DataFrame([
    {"arm": name, "EM set": f["set"], "rows": f["rows"], "optimizer steps": f["optimizer_steps"],
     "loss, first → last": f"{f['losses'][0][1]:.2f} → {f['losses'][-1][1]:.2f}",
     "Phase 1's effect on logits": f["phase1_effect"], "join − stack, logits": f["join_difference"], "bound": f["join_bound"],
     "a layer's update, relative": f["join_weight_difference"]}
    for name, f in facts.items()
]), "Phase 2, arm by arm")))
if facts:
    plots.losses({name: f["losses"] for name, f in facts.items()}, f"Phase 2, seed {seed}")
    plots.training_cost(facts, f"What Phase 2 took, seed {seed}");
