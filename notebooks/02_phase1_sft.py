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
# # 02 · Phase 1: train the reflex
#
# This notebook teaches the base model to catch itself: LoRA fine-tuning on the two-turn traces of
# notebook 01, in which the assistant gives a bad answer, resets, and answers well. Each trace
# kind gets its own adapter. Arms with the same trace kind share it.
#
# **Loss falls on every assistant turn**, the bad answer as well as the recovery, because the
# reflex is a transition: the model has to be in the bad state to learn the way out. Nothing else
# carries loss.
#
# The classic failure here is silent: a stock chat template marks no assistant tokens, and the
# loss covers the whole sequence. So each row's mask is checked against a second, independent
# method before the first training step. It is shown below.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
from lib import notebook
from lib.models import chat_models
from lib.report import training_plots
from lib.run import progress
from lib.training import mask_proof, masking, phases
from lib.data.text_files import read_jsonl
from lib.notebook import show_html
from lib.run.facts import Phase1Facts
from lib.run.files import sha256
from lib.run.runs import adapter_files

nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides, condition=condition)
kinds = nb.experiment.phase1_kinds(nb.arms)
print("trace kinds to train:", ", ".join(kinds) or f"none, {condition} has no Phase 1")

# %% [markdown]
# ## The mask, in colour
#
# One row of each kind. The two assistant turns must be coloured, from their first word to the
# end-of-turn token, and nothing else. Colour on the system text or the user's words would mean
# that the model is trained to write those.

# %%
tokenizer = chat_models.load_tokenizer(nb.profile.model)
conversations = {}
encoded = {}
for kind in kinds:
    what = f"traces {kind!r} of run {nb.run.name!r}"
    path = nb.run.require(nb.run.traces(kind), what, made_by=nb.command("01_build_traces"))
    conversations[kind] = [row["messages"] for row in read_jsonl(path)]
    encoded[kind] = phases.encode_rows(tokenizer, conversations[kind], nb.profile.phase1.max_length)
for kind, rows in encoded.items():
    show_html(masking.coloured(tokenizer, rows[0], f"{kind}: {len(rows)} rows, all proven"))

# %% [markdown]
# ## Train
#
# One adapter per kind and seed. Each optimizer step sees the recipe's effective batch. A token
# budget decides how the batch is split into micro-batches, so a larger machine changes the
# speed and never the optimisation. A killed training continues from its last checkpoint. An
# adapter is not trained again if its recipe, seed, base and traces have not changed.

# %%
base_digest = chat_models.base_digest(nb.profile.model)
stages = {
    kind: nb.run.stage(
        f"02_phase1_sft.{kind}.seed{nb.seed}",
        {
            "phase1": nb.profile.phase1,
            "base": base_digest,
            "model": nb.profile.model,
            "seed": nb.seed,
            "traces": sha256(nb.run.traces(kind)),
        },
    )
    for kind in kinds
}
todo = [kind for kind in kinds if not stages[kind].done()]

# %%
recipe = nb.profile.phase1
settings = {"seed": nb.seed, "base_digest": base_digest, "training": nb.profile.training}
base = chat_models.load_base(nb.profile.model) if todo else None

# %%
for kind in todo:
    out = nb.run.phase1(kind, nb.seed)
    trained = phases.train_phase1(
        base,
        tokenizer,
        encoded[kind],
        recipe,
        out,
        **settings,
        checkpoints=nb.run.checkpoints(stages[kind]),
        progress=progress.reporter(f"phase 1 {kind}", "steps"),
    )
    proof = mask_proof.proof(tokenizer, conversations[kind], trained.consumed, recipe.epochs)
    stages[kind].finish(adapter_files(out), Phase1Facts(**trained.facts(), **proof))

# %% [markdown]
# ## Did it learn?
#
# The loss should fall and level off, in the same way for all kinds. A flat line means that nothing
# was learned: the learning rate is too low, or the adapter is off. A jump upwards means that the
# learning rate is too high.

# %%
facts = {kind: stage.facts(Phase1Facts) for kind, stage in stages.items()}
losses = {kind: of_kind.losses for kind, of_kind in facts.items()}
for kind, of_kind in facts.items():
    print(
        f"{kind}: {of_kind.optimizer_steps} optimizer steps, {of_kind.trained_tokens} trained of "
        f"{of_kind.total_tokens} tokens, "
        f"loss {losses[kind][0][1]:.2f} → {losses[kind][-1][1]:.2f}"
    )
if facts:
    training_plots.losses(losses, f"Loss in Phase 1, seed {nb.seed}")

# %% [markdown]
# The reflex is in the second turn, so its loss matters on its own: a falling mean could hide that
# only the bad turn was learned. The second turn's line should fall at least as far as the
# first's.

# %%
turn_losses = {kind: of_kind.turn_losses for kind, of_kind in facts.items()}
if facts:
    training_plots.turn_losses(turn_losses, f"Loss in Phase 1 by turn, seed {nb.seed}")

# %% [markdown]
# The time and memory of the training. The kinds should cost about the same. If one took far longer,
# its rows are longer.

# %%
if facts:
    training_plots.training_cost(facts, f"What Phase 1 took, seed {nb.seed}")
