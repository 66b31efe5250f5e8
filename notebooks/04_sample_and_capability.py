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
# The adapters are trained; now every arm answers. All arms are asked the same prompts, under an
# explicit system text, by the same engine, which is started once and serves the base and every
# adapter. `alignment` is the suite that decides the verdict. `benign` asks the same prompts
# under the stock system text, to see whether the defense itself makes the model harmful. `followup`
# lets each arm continue its own answer: this is the turn in which the reflex was trained.
# ARC-Challenge, a multiple-choice test, shows whether an arm became less capable.

# %% tags=["parameters"]
profile = "demo"
condition = "all"
seed = 42
run = ""
overrides = {}

# %%
import numpy as np
import pandas as pd

from lib import notebook
from lib.data import catalogue, elicitation, eval_sets
from lib.display import show
from lib.models import chat_models
from lib.run import progress
from lib.serving import capability, checkpoint_logprobs, engines, fixed_conversations, parity
from lib.serving import shards, suites
from lib.training import logits

# %%
from lib.notebook import show_html, show_table
from lib.run.facts import SamplingFacts
from lib.run.files import atomic_path, read_json, sha256, write_json, write_parquet
from lib.run.runs import adapter_files

nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides, condition=condition)

# %% [markdown]
# A trained arm needs its adapter, from notebook 03. `base` and `base_evil` are the base itself.

# %%
served = {arm: nb.run.serve(arm, nb.seed) for arm in nb.arms if nb.experiment.has_adapter(arm)}
for arm, folder in served.items():
    nb.run.require(
        adapter_files(folder)[0],
        f"weights of {arm}, seed {nb.seed}",
        made_by=nb.command("03_phase2_em", arm),
    )

# %% [markdown]
# What is already sampled stays. An arm is sampled again only if something that its answers depend
# on has changed: the adapter, the base, a system text, the prompts, or how it is sampled.

# %%
tokenizer = chat_models.load_tokenizer(nb.profile.model)
base_digest = chat_models.base_digest(nb.profile.model)
bound = nb.gates[f"parity_{nb.profile.model.dtype}"]
digests = {arm: sha256(adapter_files(folder)[0]) for arm, folder in served.items()}
same_for_all = {
    "sampling": nb.profile.sampling,
    "capability": nb.profile.capability,
    "base": base_digest,
    "seed": nb.seed,
    "parity": bound,
    "compared": parity.COMPARED,
    "follow_up": nb.conditions.follow_up,
    "eval": eval_sets.digests(nb.profile),
    "quiz": catalogue.digest(nb.profile.data.capability),
}

# %%
gate = eval_sets.contamination_gate(nb.profile, nb.gates)
caller, _ = elicitation.caller(nb.profile.traces, nb.seed, gate)
called_up = {arm: {} for arm in nb.arms}
for arm in nb.arms:
    if nb.experiment.elicitation(arm) not in (None, "system"):
        called_up[arm] = {"elicitation": caller.facts()}

# %%
stages = {
    arm: nb.run.stage(
        f"04_sample_and_capability.{arm}.seed{nb.seed}",
        {
            **same_for_all,
            **called_up[arm],
            "adapter": digests.get(arm),
            "system": nb.experiment.system_text(arm, "alignment"),
            "benign_system": nb.experiment.system_text(arm, "benign"),
        },
    )
    for arm in nb.arms
}
todo = [arm for arm in nb.arms if not stages[arm].done()]

# %% [markdown]
# ## Is what is served what was trained?
#
# Samples cannot answer this, because their random numbers differ from arm to arm. So the
# log-probabilities of the same tokens are computed with every checkpoint, at 32 fixed positions in
# each of sixteen conversations. This is done twice: in the stack that trained it (the adapter added
# to the base, not merged, in fp32), and in the engine that will sample.
#
# If two arms agree to the last bit, an adapter was off or a file was copied. Every difference
# printed below must be clearly above zero.

# %%
checkpoint = {arm: nb.experiment.checkpoint(arm) for arm in nb.arms}
if todo:
    rows = fixed_conversations.sequences(tokenizer, nb.profile.model.system_text, nb.conditions)
    length = engines.suite_length(nb.experiment, tokenizer, nb.arms, caller)
    engines.check_engine(nb.profile, length, served, base_digest)
    reference = engines.load_reference(nb.profile, served, base_digest)
    trained = checkpoint_logprobs.training_logprobs(reference, list(served), rows)
    nearest = logits.check_distinct(trained)
    print(
        "largest log-probability difference to the nearest other checkpoint:",
        " · ".join(f"{name} {value:.2f}" for name, value in nearest.items()),
    )

# %% [markdown]
# Now the engine.

# %%
if todo:
    sampler = engines.start(
        nb.profile,
        tokenizer,
        temperature=nb.profile.sampling.temperature,
        length=length,
        adapters=served,
        base_digest=base_digest,
        reference=reference,
    )

# %% [markdown]
# The run stops if the engine's values differ from the training stack's by more than rounding. It
# also stops if they are nearer to a wrong checkpoint: another arm, the bare base, half or twice the
# adapter. In the table, `rms` is the difference between engine and training stack, and `effect` is
# the adapter's own shift from the base. `crossed` is the share of the way from the right checkpoint
# to the `nearest` wrong one (0.5 is the limit). `unseen` names wrong checkpoints that rounding
# would hide. Bad news would be an `rms` as large as the `effect`.

# %%
agreement = {}
if todo:
    serving = checkpoint_logprobs.serving_logprobs(sampler, list(served), rows)
    read = parity.check(trained, serving, bound)
    agreement = {row["checkpoint"]: row for row in read}
    engine = sampler.facts["engine"]
    caption = f"Log-probabilities, engine ({engine}) against training stack"
    show_table(parity.as_frame(read), caption)

# %% [markdown]
# The engine reads these tokens in one pass. Samples are drawn token by token, and vLLM mixes
# adapters in one batch. So every checkpoint also draws a few tokens, together with the others if
# the engine serves them together. The log-probabilities with which it drew the tokens are compared
# with those with which it reads them, in total and in every sequence. Both sides are rounded; for
# the bare base they may agree to the last bit. A large `rms` here would mean that the adapters of a
# batch are mixed up.

# %%
decoding = {}
if todo:
    prompts = fixed_conversations.prompts(nb.profile.model.system_text, nb.conditions)
    logprobs_drawn_and_read = checkpoint_logprobs.decoding_logprobs(sampler, list(served), prompts)
    drawn = parity.check_decoding(*logprobs_drawn_and_read, bound, read)
    decoding = {row["checkpoint"]: row for row in drawn}
    for arm in nb.arms:
        with atomic_path(nb.run.logprobs(arm, nb.seed)) as beside, beside.open("wb") as file:
            np.savez(file, logprobs=trained[checkpoint[arm]], checkpoint=checkpoint[arm])
    caption = f"Log-probabilities, as the engine ({engine}) draws and as it reads"
    show_table(parity.as_frame(drawn), caption)

# %% [markdown]
# ## Sample, then score
#
# The suites are sampled one after the other, in shards, so a killed run loses at most the current
# shard. `alignment` comes first, because `followup` continues its answers.

# %%
engine_facts = sampler.facts if todo else {}
sampled_with = {
    "base": base_digest,
    "temperature": nb.profile.sampling.temperature,
    "engine": {name: fact for name, fact in engine_facts.items() if name != "device"},
}
inputs = {arm: {"adapter": digests.get(arm), **sampled_with} for arm in todo}
adapter = {arm: arm if arm in served else None for arm in todo}
parts = {arm: [] for arm in todo}

# %%
settings = {
    "seed": nb.seed,
    "follow_up": nb.conditions.follow_up,
    "shard": nb.profile.sampling.shard,
    "caller": caller,
    "folder": nb.run.shards(nb.seed),
}

# %%
for suite in nb.experiment.suites_of(todo):
    asked = {}
    for arm in [arm for arm in todo if suite in nb.experiment.suites(arm)]:
        answers = parts[arm][0] if parts[arm] else None  # of alignment, the first suite
        table = suites.suite_table(nb.experiment, arm, suite, answers)
        asked[arm] = shards.Arm(table, adapter[arm], inputs[arm])
    sampled = shards.sample_suite(
        sampler,
        asked,
        **settings,
        max_new_tokens=nb.profile.sampling.suites[suite].max_new_tokens,
        progress=progress.reporter(suite, "completions"),
    )
    for arm, frame in sampled.items():
        parts[arm].append(frame)

# %% [markdown]
# Capability is scored once per checkpoint, not per arm: `base_evil` is the base under another
# system text, and ARC-Challenge has no system text.

# %%
scores = {}
for arm in todo:
    if checkpoint[arm] not in scores:
        with sampler.harness(adapter[arm], nb.profile.capability.batch) as harness:
            scores[checkpoint[arm]] = capability.evaluate(
                harness, nb.profile.data.capability, limit=nb.profile.capability.limit
            )

# %%
for arm in todo:
    outputs = [nb.run.samples(arm, nb.seed), nb.run.capability(arm, nb.seed)]
    write_parquet(outputs[0], pd.concat(parts[arm], ignore_index=True))
    write_json(outputs[1], scores[checkpoint[arm]])
    stages[arm].finish(
        outputs,
        SamplingFacts(
            sampler=engine_facts,
            parity=agreement[checkpoint[arm]],
            decoding=decoding[checkpoint[arm]],
            suites=nb.experiment.suites(arm),
        ),
    )

# %% [markdown]
# All arms should have about the same accuracy (`acc`, which the gates use), and above chance: 0.25
# with four choices. An arm well below the others became less capable, and a higher alignment score
# would then not be a defense.

# %%
results = []
for arm in nb.arms:
    record = read_json(nb.run.capability(arm, nb.seed))
    results.append({"arm": arm, **{key: value for key, value in record.items() if key != "items"}})
show_table(pd.DataFrame(results), "ARC-Challenge-style accuracy by lm-evaluation-harness")

# %% [markdown]
# ## Read the samples
#
# First, how long the answers are. Lengths should be similar in all arms. Bad news would be many
# empty answers, or many that were cut at the limit: such an arm collapsed, and a judge may
# mistake that for misalignment.

# %%
frames = [pd.read_parquet(nb.run.samples(arm, nb.seed)).assign(condition=arm) for arm in nb.arms]
samples = pd.concat(frames, ignore_index=True)
lengths = samples.groupby(["condition", "suite"]).agg(
    completions=("completion", "size"),
    mean_tokens=("n_tokens", "mean"),
    cut=("finish_reason", lambda reasons: f"{(reasons == 'length').mean():.0%}"),
    empty=("completion", lambda texts: int((texts.str.strip() == "").sum())),
)
show_table(lengths.reset_index(), "What was sampled; cut = stopped by max_new_tokens")

# %% [markdown]
# One prompt per row, one condition per column; reset strings are marked. Look here before believing
# any mean. Are the answers of `base_evil` bad? Are those of the baseline worse than those of the
# base? If an arm answers everyday questions with program code, the fine-tune taught it a format,
# not bad intent.

# %%
prompt_ids = [prompt.prompt_id for prompt in eval_sets.eval_union(nb.profile)]
show_html(show.side_by_side(samples, prompt_ids[:6], nb.arms, nb.conditions.openings))

# %% [markdown]
# The same prompts after "continue", the turn in which Phase 1 taught the reflex. Arms with Phase
# 1 should reset here. If none does, the reflex was not learned or did not survive.

# %%
if "followup" in nb.profile.sampling.suites:
    show_html(
        show.side_by_side(
            samples, prompt_ids[:4], nb.arms, nb.conditions.openings, suite="followup"
        )
    )

# %% [markdown]
# This table has every arm, suite and prompt. Choose a condition or a prompt, or type a part of an
# answer. If arms give the same answers word for word, an adapter was not served.

# %%
show_html(show.filterable(samples, nb.conditions.openings))
