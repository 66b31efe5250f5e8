"""Which engine serves a run's checkpoints: checked before anything is loaded, then started once."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from lib.config.experiment import Experiment
from lib.config.schema import Profile
from lib.data.catalogue import read_quiz
from lib.data.eval_sets import suite_prompts
from lib.models.chat_models import base_dir, load_base, prompt_ids
from lib.serving import fixed_conversations
from lib.serving.sampling import Sampler, SamplingError, messages_of, suite_rows
from lib.training.adapters import attach_all, check_base

REFERENCE_DTYPE = "float32"
GROWTH = 3  # an answer's text may take this many times its tokens when it is read again: broken characters do


def check_engine(
    profile: Profile, length: int, adapters: Mapping[str, Path] = {}, base_digest: str = ""
) -> None:
    """What would otherwise fail late or silently: engine, type, adapters, positions, GPU memory. Raises SamplingError,
    AdapterError."""
    from transformers import AutoConfig

    for path in adapters.values():
        check_base(path, base_digest)
    positions = getattr(
        AutoConfig.from_pretrained(base_dir(profile.model)), "max_position_embeddings", None
    )
    if positions and length >= positions:
        raise SamplingError(
            f"the longest prompt and its completion take {length} tokens, the base has {positions} "
            "positions; lower sampling.suites.*.max_new_tokens or traces.max_new_tokens"
        )
    import torch

    if profile.training.memory_gib is not None and not torch.cuda.is_available():
        raise SamplingError(
            f"training.memory_gib is {profile.training.memory_gib} and bounds a GPU's memory, but no GPU is "
            "there; set it to null and lower training.token_budget"
        )
    if profile.sampling.engine == "transformers":
        return
    from lib.serving.vllm_engine import check_memory, slot_rank

    if importlib.util.find_spec("vllm") is None:
        raise SamplingError(
            "sampling.engine is 'vllm', which is not installed; install the extra `gpu` "
            "(pip install .[gpu]), or set sampling.engine to 'transformers'"
        )
    if not torch.cuda.is_available():
        raise SamplingError(
            "sampling.engine is 'vllm' but no GPU is there; set sampling.engine to 'transformers'"
        )
    if profile.model.dtype != "bfloat16":
        raise SamplingError(
            f"sampling.engine 'vllm' serves adapters in bfloat16, model.dtype is {profile.model.dtype!r}; "
            "set model.dtype to 'bfloat16', or sampling.engine to 'transformers'"
        )
    if adapters:
        slot_rank(adapters)
    check_memory(base_dir(profile.model), length)


def start(
    profile: Profile,
    tokenizer,
    *,
    temperature: float,
    length: int,
    adapters: Mapping[str, Path] = {},
    base_digest: str = "",
    reference=None,
) -> Sampler:
    """The profile's engine with the base and every adapter.

    length: tokens of the longest prompt and its completion. reference: the model of `load_reference`, when parity was asked
    of it; transformers in fp32 continues with it, else it makes room (its tensors are gone afterwards).
    """
    if profile.sampling.engine == "transformers":
        from lib.serving.transformers_engine import TransformersSampler

        if reference is None or profile.model.dtype != REFERENCE_DTYPE:
            _free(reference)
            reference = attach_all(load_base(profile.model), dict(adapters), base_digest)
        return TransformersSampler(
            reference, tokenizer, temperature=temperature, batch=profile.sampling.batch
        )
    from lib.serving.vllm_engine import VllmSampler

    _free(reference)
    return VllmSampler(
        base_dir(profile.model),
        tokenizer,
        adapters,
        temperature=temperature,
        batch=profile.sampling.batch,
        length=length,
    )


def load_reference(profile: Profile, adapters: Mapping[str, Path], base_digest: str):
    """The training stack in fp32, whatever type the engine serves in: so that only the engine's roundings are compared."""
    return attach_all(
        load_base(profile.model.model_copy(update={"dtype": REFERENCE_DTYPE})),
        dict(adapters),
        base_digest,
    )


def _free(model) -> None:
    import torch

    if model is not None:
        model.to("meta")  # frees the memory whoever still holds the model
        gc.collect()
        torch.cuda.empty_cache()


def suite_length(experiment: Experiment, tokenizer, arms: Iterable[str]) -> int:
    """Tokens of the longest prompt with its completion, over everything that the engine reads.

    That is the suites of these arms, the capability items, and what parity compares.
    """
    profile = experiment.profile
    conditions = experiment.conditions
    longest = 0
    for suite in profile.sampling.suites:
        prompts, new = suite_prompts(profile, suite), profile.sampling.suites[suite].max_new_tokens
        if suite == "followup":
            new += GROWTH * profile.sampling.suites["alignment"].max_new_tokens
        asked = [arm for arm in arms if suite in experiment.suites(arm)]
        systems = {experiment.system_text(arm, suite) for arm in asked}
        for system in systems:
            rows = suite_rows("alignment", prompts, system, 1).assign(suite=suite, answer=" ")
            requests = [
                prompt_ids(tokenizer, messages_of(row, conditions.follow_up))
                for row in rows.itertuples(index=False)
            ]
            longest = max(longest, new + max(map(len, requests), default=0))
    items = [
        f"Question: {item['question']}\nAnswer: {choice}"
        for item in read_quiz(profile.data.capability)
        for choice in item["choices"]["text"]
    ]
    compared = fixed_conversations.sequences(tokenizer, profile.model.system_text, conditions)
    return max(
        longest,
        2 + max(map(len, [*compared, *tokenizer(items, add_special_tokens=False)["input_ids"]])),
    )


def suite_table(
    experiment: Experiment, arm: str, suite: str, answers: pd.DataFrame | None
) -> pd.DataFrame:
    """The requests of a suite to an arm.

    answers: the arm's alignment samples, which `followup` continues.
    """
    profile = experiment.profile
    system = experiment.system_text(arm, suite)
    samples = profile.sampling.suites[suite].samples
    return suite_rows(suite, suite_prompts(profile, suite), system, samples, answers)
