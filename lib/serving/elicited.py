"""Call up an arm's persona, in the same way in every suite (docs/protocol.md section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.config.strict import Elicitation
from lib.data.elicitation import Caller, Elicited
from lib.serving.sampling import SamplingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURN = 16  # tokens that a chat template puts around two turns, at most


def check_samples(samples: pd.DataFrame, arm: str, wanted: Elicitation | None) -> str | None:
    """How an arm's samples differ from the profile in how the persona was called up, in words.

    Samples of earlier versions do not say it: those were called up by the system text alone.

    Args:
        wanted: by what the profile calls the arm's persona up; None for an arm without one.
    """
    recorded = samples["elicitation"] if "elicitation" in samples else pd.Series([None])
    silent = "system" if wanted else None
    found = {silent if pd.isna(value) else value for value in recorded.unique()}
    if not (wrong := sorted(str(value) for value in found - {wanted})):
        return None
    if wanted is None:
        return f"samples of {arm} are called up by {wrong[0]!r}, but that arm has no persona"
    return (
        f"samples of {arm} are called up by {wrong[0]!r}, traces.elicitation of the profile is "
        f"{wanted!r}"
    )


def ask(row: Any, caller: Caller | None) -> Elicited:
    """The conversation of a suite's row up to its prompt, with the texts that call up the persona.

    A prompt has the same examples in every suite, so that a follow-up continues the conversation
    that its answer is from.

    Args:
        row: a row of `suites.suite_rows`, as a named tuple.
        caller: the profile's; None where no arm is called up.

    Raises SamplingError if the row names another elicitation than the caller's.
    """
    if row.elicitation is None or row.elicitation != row.elicitation:  # NaN: not called up
        caller = Caller("system", 0)
    elif caller is None or caller.kind != row.elicitation:
        has = caller.kind if caller else None
        raise SamplingError(
            f"prompt {row.prompt_id!r} is to be called up by {row.elicitation!r}, the caller has "
            f"{has!r}; give sample_suite the caller of the profile's traces.elicitation"
        )
    return caller.ask(row.system, row.prompt, f"suite/{row.prompt_id}")


def room(tokenizer: PreTrainedTokenizerBase, caller: Caller | None) -> int:
    """Tokens that calling up the persona adds to a request, at most."""
    if caller is None or caller.kind == "system":
        return 0
    if caller.kind == "prefill":
        return max(_count(tokenizer, beginning.text) for beginning in caller.beginnings)
    pairs = [
        _count(tokenizer, one.prompt) + _count(tokenizer, one.answer) for one in caller.examples
    ]
    longest = sorted(pairs)[-caller.count :]
    return sum(longest) + TURN * caller.count


def _count(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
