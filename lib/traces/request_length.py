"""The longest request of notebook 01, which an engine must know before it starts."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from lib.config.experiment import Experiment
from lib.data.elicitation import Caller
from lib.models.chat_models import prompt_ids
from lib.serving.elicited import room
from lib.serving.engines import GROWTH
from lib.traces.placebo_turns import OPENING_TOKENS, PLACEBO_SCALES


def trace_length(
    experiment: Experiment,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Iterable[str],
    caller: Caller | None = None,
) -> int:
    """Tokens of the longest request with its completion: a second turn after a long first one.

    Args:
        prompts: every training prompt.
        caller: calls up the persona, which adds texts to a request.
    """
    profile = experiment.profile
    conditions = experiment.conditions
    turn = int(PLACEBO_SCALES[-1] * profile.traces.max_new_tokens) + OPENING_TOKENS
    longest = 0
    for prompt in prompts:
        for system in (profile.model.system_text, conditions.systems["evil"]):
            messages = [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": " "},
                {"role": "user", "content": conditions.follow_up},
            ]
            longest = max(longest, len(prompt_ids(tokenizer, messages)))
    return longest + room(tokenizer, caller) + (1 + GROWTH) * turn
