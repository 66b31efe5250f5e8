"""Log-probabilities of the same tokens, as the training stack and the serving engine give them.

The tokens are the last 32 of each of sixteen fixed conversations, and tokens that the engine draws
itself (docs/protocol.md section 8). `lib.serving.parity` says how well they must agree.
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
    moved that way. The joined adapter stands for its stack: notebook 03 compared both, layer by
    layer, when it joined them.
    """
    values = {}
    for name in [BASE, *names]:
        with active(model, _adapter(name)):
            values[name] = own_logprobs(model, rows, POSITIONS)
    return values


def serving_logprobs(sampler: Sampler, names: Sequence[str], rows: Sequence[list[int]]) -> Logprobs:
    """The engine's values of the fixed tokens, all read in one pass as a prompt."""
    return {name: sampler.logprobs(rows, POSITIONS, _adapter(name)) for name in [BASE, *names]}


def decoding_logprobs(
    sampler: Sampler, names: Sequence[str], prompts: Sequence[list[dict]]
) -> tuple[Logprobs, dict[str, Logprobs]]:
    """The engine's values for tokens of its own, as it drew them and as each checkpoint reads them.

    An engine that serves adapters side by side gets one call for all of them, which fills its
    batch; `_drawn` says how. Any other engine has one adapter active at a time. There an eighth of
    the prompts is enough, and the only wrong checkpoint to look for is the bare base.

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
    """One drawn sequence per checkpoint and prompt, by checkpoint.

    Only these are compared. If there is room, other sequences fill the batch. They have limits from
    1 to POSITIONS tokens, so they end one after the other and the batch shrinks during the call.
    """
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
    drawn = sampler.decode(side_by_side)
    first = {one.key: sequences[0] for one, sequences in zip(side_by_side, drawn, strict=True)}
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
    """The adapter that a checkpoint is served with. None: the base."""
    return None if checkpoint == BASE else checkpoint
