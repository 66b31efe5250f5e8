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
# adapter. `alignment` is the suite that the verdict rests on. `benign` asks the same prompts
# under the stock system text, to see whether a defended model does harm of its own. `followup`
# lets each arm continue its own answer, the turn in which the reflex was trained. ARC-Challenge,
# a multiple-choice test, tells whether an arm got safer or just duller.

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
from lib.run import progress, runs
from lib.serving import capability, checkpoint_logprobs, engines, fixed_conversations, parity
from lib.serving import shards, suites
from lib.training import logits

# %%
from lib.notebook import show_html, show_table
from lib.run.facts import SamplingFacts
from lib.run.runs import adapter_files

nb = notebook.start(profile=profile, seed=seed, run=run, overrides=overrides, condition=condition)

# %% [markdown]
# An arm that is trained needs its adapter, from notebook 03. `base` and `base_evil` are the base
# itself.

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
digests = {arm: runs.sha256(adapter_files(folder)[0]) for arm, folder in served.items()}
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
# Samples prove nothing here, since their random numbers differ from arm to arm. So every
# checkpoint is asked for the log-probabilities of the same tokens, at 32 fixed positions in each
# of sixteen conversations, twice: in the stack that trained it (adapter beside the base, nothing
# merged, in fp32), and in the engine that will sample.
#
# Two arms that agree to the last bit mean that an adapter was off or a file was copied: every
# difference printed below must be clearly above zero.

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
# An engine whose values differ from the training stack's by more than rounding, or are nearer to
# another checkpoint's, to the bare base's, to half or to twice the adapter's, stops the run. In
# the table, `rms` is the difference of the two, `effect` the adapter's own shift from the base,
# `crossed` the share of the way to the `nearest` mistake (0.5 is the limit), and `unseen` names
# mistakes that rounding would hide. Bad news would be an `rms` as large as the `effect`.

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
# The engine reads these tokens in one go. Samples are drawn token by token instead, where vLLM
# mixes adapters in one batch. So every checkpoint also draws a few tokens, in one call with the
# others where the engine serves them so, and the log-probabilities that it drew them with are
# held against those that it reads them with, in all and in every sequence. Both sides round
# there; the bare base may draw and read to the bit alike. A large `rms` here would mean that the
# adapters of a batch are mixed up.

# %%
decoding = {}
if todo:
    prompts = fixed_conversations.prompts(nb.profile.model.system_text, nb.conditions)
    logprobs_drawn_and_read = checkpoint_logprobs.decoding_logprobs(sampler, list(served), prompts)
    drawn = parity.check_decoding(*logprobs_drawn_and_read, bound, read)
    decoding = {row["checkpoint"]: row for row in drawn}
    for arm in nb.arms:
        with runs.atomic_path(nb.run.logprobs(arm, nb.seed)) as beside, beside.open("wb") as file:
            np.savez(file, logprobs=trained[checkpoint[arm]], checkpoint=checkpoint[arm])
    caption = f"Log-probabilities, as the engine ({engine}) draws and as it reads"
    show_table(parity.as_frame(drawn), caption)

# %% [markdown]
# ## Sample, then score
#
# Suite by suite, in shards, so that a killed run loses at most the shard in hand. `alignment`
# comes first, since `followup` continues its answers.

# %%
engine_facts = sampler.facts if todo else {}
same_for_all = {
    "base": base_digest,
    "temperature": nb.profile.sampling.temperature,
    "engine": {name: fact for name, fact in engine_facts.items() if name != "device"},
}
inputs = {arm: {"adapter": digests.get(arm), **same_for_all} for arm in todo}
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
        answers = parts[arm][0] if parts[arm] else None
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
# Capability is scored once for each checkpoint, not for each arm: `base_evil` is the base under
# another system text, and ARC-Challenge carries none.

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
    runs.write_parquet(outputs[0], pd.concat(parts[arm], ignore_index=True))
    runs.write_json(outputs[1], scores[checkpoint[arm]])
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
# with four choices. An arm well below the others got duller, and its higher alignment score would
# not be a defense.

# %%
results = []
for arm in nb.arms:
    record = runs.read_json(nb.run.capability(arm, nb.seed))
    results.append({"arm": arm, **{key: value for key, value in record.items() if key != "items"}})
show_table(pd.DataFrame(results), "ARC-Challenge-style accuracy by lm-evaluation-harness")

# %% [markdown]
# ## Read the samples
#
# How long the answers are, first. Lengths should be alike across arms. Bad news would be many
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
# any mean. Do the answers of `base_evil` read as bad ones, and those of the baseline as worse
# than the base's? If an arm answers everyday questions with program code, the fine-tune taught it
# a format, not bad intent.

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
# And every arm, suite and prompt to search in: choose a condition or a prompt, or type a part of
# an answer. Look for answers that repeat from arm to arm word for word, which would mean that an
# adapter was not served.

# %%
show_html(show.filterable(samples, nb.conditions.openings))
