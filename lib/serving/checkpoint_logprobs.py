"""Log-probabilities of the same tokens, as the training stack and the serving engine give them.

32 fixed positions in each of sixteen fixed conversations, and tokens that the engine draws itself
(docs/protocol.md section 8). What they must agree on is in `lib.serving.parity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from lib.config.roles import PLANNED
from lib.serving.sampling import Decoded, Request, Sampler
from lib.training.adapters import active
from lib.training.logits import own_logprobs

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

POSITIONS = 32  # at the end of each conversation
BASE = PLANNED.base  # the checkpoint of every untrained arm

Logprobs = dict[str, np.ndarray]  # by checkpoint, one value per position


def training_logprobs(
    model: PreTrainedModel | PeftModel, names: Sequence[str], rows: Sequence[list[int]]
) -> Logprobs:
    """The training stack's values: transformers with each adapter unmerged, and the bare base.

    The model is in fp32 whatever the engine's type. If its values were rounded too, the direction
    to every wrong checkpoint would contain this rounding, and a correct engine would seem to have
    moved that way. The joined adapter is used in place of its stack; notebook 03 has compared the
    two, layer by layer, when it joined them.
    """
    values = {}
    for name in [BASE, *names]:
        with active(model, _adapter(name)):
            values[name] = own_logprobs(model, rows, POSITIONS)
    return values


def serving_logprobs(sampler: Sampler, names: Sequence[str], rows: Sequence[list[int]]) -> Logprobs:
    """The engine's values, read as a prompt."""
    return {name: sampler.logprobs(rows, POSITIONS, _adapter(name)) for name in [BASE, *names]}


def decoding_logprobs(
    sampler: Sampler, names: Sequence[str], prompts: Sequence[list[dict]]
) -> tuple[Logprobs, dict[str, Logprobs]]:
    """The engine's values for tokens of its own, as it drew them and as each checkpoint reads them.

    If adapters are served side by side, all draw in one call that fills the batch, and one sequence
    per prompt is compared. The others end one after the other, so the batch shrinks during the
    call. Otherwise an eighth of the prompts is enough, and only the bare base could be served by
    mistake in a checkpoint's place.

    Returns:
        By checkpoint, the values as drawn; and by checkpoint, by reader, the values as read.
    """
    checkpoints = [BASE, *names]
    if not sampler.interleaves:
        prompts = prompts[::8]
    sequences = _drawn(sampler, checkpoints, prompts)
    drawn = {name: _logprobs(of_checkpoint) for name, of_checkpoint in sequences.items()}
    read: dict[str, Logprobs] = {name: {} for name in checkpoints}
    for reader in checkpoints:
        readable = [name for name in checkpoints if sampler.interleaves or reader in (name, BASE)]
        compared = chain.from_iterable(sequences[name] for name in readable)
        token_rows = [one.prompt + one.ids for one in compared]
        values = sampler.logprobs(token_rows, POSITIONS, _adapter(reader))
        for name, own in zip(readable, values.reshape(len(readable), -1), strict=True):
            read[name][reader] = own
    return drawn, read


def _drawn(
    sampler: Sampler, checkpoints: Sequence[str], prompts: Sequence[list[dict]]
) -> Mapping[str, list[Decoded]]:
    """One drawn sequence per checkpoint and prompt, by checkpoint."""
    compared = []
    for number, messages in enumerate(prompts):
        for name in checkpoints:
            key = f"parity/{name}/{number}"
            compared.append(Request(key, messages, _adapter(name), POSITIONS))
    spare = sampler.batch // len(compared) - 1 if sampler.interleaves else 0
    others = []
    if spare > 0:
        for place, one in enumerate(compared):
            limit = 1 + place * (POSITIONS - 1) // len(compared)
            others.append(Request(f"{one.key}/more", one.messages, one.adapter, limit, spare))
    side_by_side = [one for one in chain.from_iterable(zip_longest(compared, others)) if one]
    sequences = sampler.decode(side_by_side)
    first = {
        request.key: of_request[0]
        for request, of_request in zip(side_by_side, sequences, strict=True)
    }
    by_checkpoint = {}
    for name in checkpoints:
        by_checkpoint[name] = [first[f"parity/{name}/{number}"] for number in range(len(prompts))]
    return by_checkpoint


def _logprobs(sequences: Sequence[Decoded]) -> np.ndarray:
    """Those of all sequences in one row. `Sampler.decode` gives every sequence its own."""
    given = [one.logprobs for one in sequences if one.logprobs is not None]
    assert len(given) == len(sequences), "the engine drew without log-probabilities"
    return np.concatenate(given)


def _adapter(checkpoint: str) -> str | None:
    return None if checkpoint == BASE else checkpoint
