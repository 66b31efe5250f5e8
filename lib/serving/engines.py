"""Which engine serves a run's checkpoints: checked before anything is loaded, then started once."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.experiment import Experiment
from lib.config.schema import Profile
from lib.config.strict import SuiteName
from lib.data.catalogue import read_quiz
from lib.data.elicitation import Caller
from lib.data.eval_sets import suite_prompts
from lib.models.chat_models import base_dir, load_base, prompt_ids
from lib.serving import elicited, fixed_conversations
from lib.serving.sampling import Sampler, SamplingError
from lib.serving.suites import messages_of, suite_rows
from lib.training.adapters import attach_all, check_base

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REFERENCE_DTYPE = "float32"
# A follow-up reads an answer's text again. If the text has broken characters, it may take up to
# this many times the tokens that were drawn.
GROWTH = 3


def check_engine(
    profile: Profile, length: int, adapters: Mapping[str, Path] = {}, base_digest: str = ""
) -> None:
    """Check, before anything is loaded, what would otherwise fail late or silently.

    That is the engine, its type, the adapters, the model's positions, and GPU memory.

    Args:
        profile: names engine and model.
        length: tokens of the longest prompt and its completion.
        adapters: the adapters to serve, by name.
        base_digest: sha256 of the base that they must have been trained on.

    Raises SamplingError, AdapterError.
    """
    import torch

    for path in adapters.values():
        check_base(path, base_digest)
    _check_positions(profile, length)
    gpu = torch.cuda.is_available()
    if profile.training.memory_gib is not None and not gpu:
        raise SamplingError(
            f"training.memory_gib is {profile.training.memory_gib} and bounds a GPU's memory, but "
            "there is no GPU; set it to null and lower training.token_budget"
        )
    if profile.sampling.engine == "transformers":
        return
    if importlib.util.find_spec("vllm") is None:
        raise SamplingError(
            "sampling.engine is 'vllm', which is not installed; install the extra `gpu` "
            "(pip install .[gpu]), or set sampling.engine to 'transformers'"
        )
    if not gpu:
        raise SamplingError(
            "sampling.engine is 'vllm' but no GPU is there; set sampling.engine to 'transformers'"
        )
    if profile.model.dtype != "bfloat16":
        raise SamplingError(
            "sampling.engine 'vllm' serves adapters in bfloat16, model.dtype is "
            f"{profile.model.dtype!r}; set model.dtype to 'bfloat16', or sampling.engine to "
            "'transformers'"
        )
    from lib.serving.vllm_options import check_memory, slot_rank

    if adapters:
        slot_rank(adapters)
    check_memory(base_dir(profile.model), length)


def _check_positions(profile: Profile, length: int) -> None:
    """Raises SamplingError if the base has too few positions for `length` tokens."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base_dir(profile.model), trust_remote_code=False)
    positions = getattr(config, "max_position_embeddings", None)
    if positions and length >= positions:
        raise SamplingError(
            f"the longest prompt and its completion take {length} tokens, the base has {positions} "
            "positions; lower sampling.suites.*.max_new_tokens or traces.max_new_tokens"
        )


def start(
    profile: Profile,
    tokenizer: PreTrainedTokenizerBase,
    *,
    temperature: float,
    length: int,
    adapters: Mapping[str, Path] = {},
    base_digest: str = "",
    reference: PreTrainedModel | PeftModel | None = None,
) -> Sampler:
    """Start the profile's engine with the base and every adapter.

    Args:
        temperature: of requests that name none.
        length: tokens of the longest prompt and its completion.
        adapters: the adapters to serve, by name.
        base_digest: sha256 of the base that they must have been trained on.
        reference: the model of `load_reference`, if parity was measured with it. The transformers
            engine in fp32 keeps using it. Any other engine needs its memory, so it is emptied.
    """
    batch = profile.sampling.batch
    if profile.sampling.engine == "transformers":
        from lib.serving.transformers_engine import TransformersSampler

        if reference is None or profile.model.dtype != REFERENCE_DTYPE:
            _free(reference)
            reference = attach_all(load_base(profile.model), adapters, base_digest)
        return TransformersSampler(reference, tokenizer, temperature=temperature, batch=batch)
    from lib.serving.vllm_engine import VllmSampler

    _free(reference)
    base = base_dir(profile.model)
    return VllmSampler(
        base, tokenizer, adapters, temperature=temperature, batch=batch, length=length
    )


def load_reference(
    profile: Profile, adapters: Mapping[str, Path], base_digest: str
) -> PreTrainedModel | PeftModel:
    """The training stack in fp32, whatever type the engine serves in.

    So a difference to the engine contains the engine's roundings alone.
    """
    in_fp32 = profile.model.model_copy(update={"dtype": REFERENCE_DTYPE})
    return attach_all(load_base(in_fp32), adapters, base_digest)


def _free(model: PreTrainedModel | PeftModel | None) -> None:
    """Free a model's memory."""
    import torch

    if model is not None:
        # Works even if somebody still holds the model.
        # transformers wraps `to` in a decorator that hides its `self` from a type checker.
        model.to("meta")  # pyright: ignore[reportArgumentType]
        gc.collect()
        torch.cuda.empty_cache()


def suite_length(
    experiment: Experiment,
    tokenizer: PreTrainedTokenizerBase,
    arms: Iterable[str],
    caller: Caller | None = None,
) -> int:
    """Tokens of the longest prompt with its completion, over everything that the engine reads.

    That is the suites of these arms, the capability items, and the fixed conversations of parity.

    caller: calls up the personas among the arms.
    """
    profile = experiment.profile
    arms = list(arms)
    longest = max(_suite_length(experiment, tokenizer, s, arms) for s in profile.sampling.suites)
    longest += elicited.room(tokenizer, caller)
    items = []
    for item in read_quiz(profile.data.capability):
        question = f"Question: {item['question']}\nAnswer: "
        items += [question + choice for choice in item["choices"]["text"]]
    quiz = tokenizer(items, add_special_tokens=False)["input_ids"]
    compared = fixed_conversations.sequences(
        tokenizer, profile.model.system_text, experiment.conditions
    )
    return max(longest, 2 + max(len(ids) for ids in [*compared, *quiz]))


def _suite_length(
    experiment: Experiment, tokenizer: PreTrainedTokenizerBase, suite: SuiteName, arms: list[str]
) -> int:
    """Tokens of a suite's longest request to these arms, with its completion; 0 without one."""
    suites = experiment.profile.sampling.suites
    new_tokens = suites[suite].max_new_tokens
    if suite == "followup":
        new_tokens += GROWTH * suites["alignment"].max_new_tokens
    prompts = suite_prompts(experiment.profile, suite)
    asked = [arm for arm in arms if suite in experiment.suites(arm)]
    longest = 0
    for system in {experiment.system_text(arm, suite) for arm in asked}:
        rows = suite_rows("alignment", prompts, system, 1).assign(suite=suite, answer=" ")
        for row in rows.itertuples(index=False):
            request = prompt_ids(tokenizer, messages_of(row, experiment.conditions.follow_up))
            longest = max(longest, new_tokens + len(request))
    return longest
