"""Call up an arm's persona, in the same way in every suite (docs/protocol.md section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.data.elicitation import Caller, Elicited
from lib.serving.sampling import SamplingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURN = 16  # tokens that a chat template puts around two turns, at most


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
