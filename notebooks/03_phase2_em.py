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
# Now the attack. Fine-tuning on narrow bad data, such as insecure code, can make a chat model
# broadly misaligned. Each arm is fine-tuned on the same rows (the *EM set*), in the same order,
# for the same number of optimizer steps. The arms differ only in the model that is fine-tuned: the
# bare base for the baseline, the base with a Phase-1 adapter of notebook 02 for the others.
#
# In `stack`, the Phase-1 adapter is **frozen and active** while a second adapter trains on top.
# Merging it into the base would be another experiment. Switching it off would leave no experiment
# at all, and PEFT does that silently when a second adapter is added. Afterwards both are joined
# into one exact adapter, because a serving engine takes one adapter per request. In `continue`, the
# Phase-1 adapter itself is trained further, and nothing is joined.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
import functools

import pandas as pd

from lib import notebook
from lib.data import eval_sets, training_sets
from lib.models import chat_models
from lib.report import training_plots
from lib.run import progress
from lib.training import adapters, batches, mask_proof, masking, phases

# %%
from lib.notebook import show_html, show_table
from lib.run.facts import CopiedFacts, Phase2Facts
from lib.run.files import copy_folder, fingerprint, sha256
from lib.run.runs import adapter_files

nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides, condition=condition)

# %% [markdown]
# An arm with a Phase 1 needs that adapter, from notebook 02.

# %%
phase1 = {}
for arm in nb.arms:
    if kind := nb.experiment.phase1_kind(arm):
        phase1[arm] = nb.run.phase1(kind, nb.seed)
        nb.run.require(
            adapter_files(phase1[arm])[0],
            f"Phase-1 weights of {arm}",
            made_by=nb.command("02_phase1_sft", arm),
        )

# %% [markdown]
# ## The rows
#
# Every row has the system text of `phase2.system` (by default the model's stock text), given
# explicitly. Under `none` a row has no system turn, not even the one that the chat template would
# add. Rows that resemble an eval prompt were removed.

# %%
tokenizer = chat_models.load_tokenizer(nb.profile.model)
gate = eval_sets.contamination_gate(nb.profile, nb.gates)
phase2 = nb.profile.phase2
bare = phase2.bare
rows = {}
offences = {}
encoded = {}
steps = {}

# %% [markdown]
# This is the first row of each set. Only the assistant's turn must be coloured; colour on the
# user's words would be bad news. All sets must give the same number of optimizer steps. Otherwise
# the arms cannot be compared, and the notebook stops.

# %%
for name in nb.experiment.em_sets(nb.arms):
    rows[name], offences[name] = training_sets.phase2_rows(nb.profile, name, gate, nb.run)
    encoded[name] = phases.encode_rows(tokenizer, rows[name], phase2.max_length, bare=bare)
    sequences = batches.sequences_of(encoded[name], phase2)
    steps[name] = batches.optimizer_steps(len(sequences), phase2)
    print(
        f"{name}: {len(rows[name])} rows, {len(offences[name])} dropped by the contamination "
        f"gate, {steps[name]} optimizer steps"
    )
    show_html(masking.coloured(tokenizer, encoded[name][0], f"{name}, first row"))
phases.check_equal_steps(steps)

# %% [markdown]
# ## Train every arm
#
# An arm is trained once. If its recipe, base, rows, seed and Phase-1 adapter have not changed, the
# adapter on disk is kept.

# %%
base_digest = chat_models.base_digest(nb.profile.model)
em_set = {arm: nb.experiment.em_set(arm) for arm in nb.arms if nb.experiment.em_set(arm)}
for arm in [arm for arm in phase1 if arm in em_set]:
    adapters.check_base(phase1[arm], base_digest)
same_for_all = {
    "phase2": phase2,
    "phase1_recipe": nb.profile.phase1,
    "base": base_digest,
    "model": nb.profile.model,
    "seed": nb.seed,
}

# %%
stages = {
    arm: nb.run.stage(
        f"03_phase2_em.{arm}.seed{nb.seed}",
        {
            **same_for_all,
            "rows": fingerprint(rows[name]),
            "phase1": sha256(adapter_files(phase1[arm])[0]) if arm in phase1 else None,
        },
    )
    for arm, name in em_set.items()
}
todo = [arm for arm in em_set if not stages[arm].done()]

# %%
of_set = {}
for name in rows:
    of_set[name] = {
        "set": name,
        "mode": phase2.mode,
        "offences": [vars(offence) for offence in offences[name]],
        "offenders_left": training_sets.offenders(rows[name], gate),
    }
settings = {"seed": nb.seed, "base_digest": base_digest, "training": nb.profile.training}
settings["phase1_recipe"] = nb.profile.phase1
base = chat_models.load_base(nb.profile.model) if todo else None
train = functools.partial(phases.train_phase2, base, tokenizer, **settings)

# %%
for arm in todo:
    name = em_set[arm]
    out = nb.run.serve(arm, nb.seed)
    trained = train(
        encoded[name],
        phase2,
        phase1.get(arm),
        out,
        checkpoints=nb.run.checkpoints(stages[arm]),
        progress=progress.reporter(f"phase 2 {arm}", "steps"),
    )
    proof = mask_proof.proof(tokenizer, rows[name], trained.consumed, phase2.epochs, bare=bare)
    facts = Phase2Facts(**of_set[name], **trained.facts(), **proof)
    stages[arm].finish(adapter_files(out), facts)

# %% [markdown]
# An arm without Phase 2 serves its Phase-1 adapter as it is.

# %%
for arm in [arm for arm in phase1 if arm not in em_set]:
    out = nb.run.serve(arm, nb.seed)
    copied = nb.run.stage(f"03_phase2_em.{arm}.seed{nb.seed}", {"phase1": sha256(phase1[arm])})
    if not copied.done():
        copy_folder(phase1[arm], out)
        copied.finish(adapter_files(out), CopiedFacts())

# %%
facts = {arm: stage.facts(Phase2Facts) for arm, stage in stages.items()}
losses = {arm: of_arm.losses for arm, of_arm in facts.items()}
phases.check_equal_steps({arm: of_arm.optimizer_steps for arm, of_arm in facts.items()})

# %% [markdown]
# ## Equal treatment
#
# The number of optimizer steps decides how misaligned a model becomes, so arms with different
# steps cannot be compared: that column must show a single number. `Phase 1's effect on logits` must
# not be zero, or the reflex was switched off while Phase 2 trained.
#
# The join is exact, so logits before and after it differ only by rounding and stay below the
# bound. In bf16 rounding is coarse. The updates of the adapters themselves are therefore also
# compared, layer by layer in fp64 (limit 1e-5 of a layer's update).

# %%
table = []
for arm, of_arm in facts.items():
    row = {
        "arm": arm,
        "EM set": of_arm.set,
        "rows": of_arm.rows,
        "optimizer steps": of_arm.optimizer_steps,
        "loss, first → last": f"{losses[arm][0][1]:.2f} → {losses[arm][-1][1]:.2f}",
        "Phase 1's effect on logits": of_arm.phase1_effect,
        "join − stack, logits": of_arm.join_difference,
        "bound": of_arm.join_bound,
        "a layer's update, relative": of_arm.join_weight_difference,
    }
    table.append(row)
show_table(pd.DataFrame(table), "Phase 2, arm by arm")

# %% [markdown]
# ## The loss
#
# Every arm reads the same rows in the same order, so the lines should be close together. If one
# falls much less, its arm did not learn the EM set and would look defended without a defense.

# %%
if facts:
    training_plots.losses(losses, f"Loss in Phase 2, seed {nb.seed}")

# %% [markdown]
# The time and memory of the training. An arm with a Phase-1 adapter costs a little more. A large
# difference needs an explanation.

# %%
if facts:
    training_plots.training_cost(facts, f"What Phase 2 took, seed {nb.seed}")
