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
# LoRA SFT on the traces. **Loss falls on every assistant turn**, the bad answer as well as the recovery, because the
# reflex is a transition: the model has to be in the bad state to learn the way out. Nothing else carries loss.
#
# The classic failure here is silent: a stock chat template marks no assistant tokens, and the loss quietly covers the
# whole sequence. So each row's mask is proven against an independent reading before a step is taken, and shown below.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
from IPython.display import HTML, display

from lib import arguments, data, finetune, masking, models, params, plots, progress, runs
from lib.experiment import Experiment

p, seed = params.load_profile(profile, overrides), arguments.seed(seed)
experiment = Experiment.of(p)
this_run = runs.open_run(p, run)
kinds = experiment.phase1_kinds(experiment.select(condition))
print("trace kinds to train:", ", ".join(kinds) or f"none, {condition} has no Phase 1")

# %% [markdown]
# ## The mask, in colour

# %%
tokenizer = models.load_tokenizer(p.model)
conversations = {}
for kind in kinds:
    path = this_run.traces(kind)
    if not path.exists():
        raise FileNotFoundError(
            f"traces {kind!r} of run {this_run.name!r} are missing; make them with: papermill "
            f"notebooks/01_build_traces.ipynb out.ipynb -p profile {p.profile} -p run {this_run.name}")
    conversations[kind] = [row["messages"] for row in data.read_jsonl(path)]
encoded = {kind: finetune.encode_rows(tokenizer, rows, p.phase1.max_length) for kind, rows in conversations.items()}
for kind in kinds:
    display(HTML(masking.coloured(tokenizer, encoded[kind][0], f"{kind}: {len(encoded[kind])} rows, all proven")))

# %% [markdown]
# ## Train
#
# One adapter for each kind and seed. Each optimizer step sees the recipe's effective batch; how it is cut into
# micro-batches follows from a token budget, so that a larger machine changes the speed and never the optimisation. A
# killed training goes on from its last checkpoint.

# %%
base, base_digest = None, models.base_digest(p.model)
for kind in kinds:
    out = this_run.phase1(kind, seed)
    stage = this_run.stage(f"02_phase1_sft.{kind}.seed{seed}", {
        "phase1": p.phase1, "base": base_digest, "model": p.model, "seed": seed,
        "traces": runs.sha256(this_run.traces(kind))})
    if stage.done():
        continue
    base = base or models.load_base(p.model)
    trained = finetune.train_phase1(
        base, tokenizer, encoded[kind], p.phase1, out, seed=seed, base_digest=base_digest, training=p.training,
        checkpoints=this_run.dir / "checkpoints" / stage.fingerprint[:16],
        progress=progress.reporter(f"phase 1 {kind}", "steps"))
    stage.finish([out / "adapter_model.safetensors", out / "adapter_config.json"], **trained.facts(),
                 **masking.proof(tokenizer, conversations[kind], trained.consumed, p.phase1.epochs))

# %% [markdown]
# ## Did it learn?

# %%
facts = {kind: runs.read_json(this_run.dir / "manifests" / f"02_phase1_sft.{kind}.seed{seed}.json")["facts"] for kind in kinds}
for kind, f in facts.items():
    first, last = f["losses"][0][1], f["losses"][-1][1]
    print(f"{kind}: {f['optimizer_steps']} optimizer steps, {f['trained_tokens']} trained of {f['total_tokens']} tokens, "
          f"loss {first:.2f} → {last:.2f}")
if facts:
    plots.losses({kind: f["losses"] for kind, f in facts.items()}, f"Phase 1, seed {seed}")

# %% [markdown]
# The reflex is in the second turn, so its loss matters on its own: a falling mean could hide that only the bad turn was
# learned.

# %%
if facts:
    plots.turn_losses({kind: f["turn_losses"] for kind, f in facts.items()}, f"Phase 1 by turn, seed {seed}")
    plots.training_cost(facts, f"What Phase 1 took, seed {seed}")
