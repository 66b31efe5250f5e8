"""How a training set becomes the tensors of an optimizer step.

A *row* is one conversation. A *sequence* is what an effective batch counts: one row, or with
packing several. A *micro-batch* has some rows of an effective batch, end to end in one tensor.

An optimizer step always sees the recipe's effective batch. How that batch is split into
micro-batches follows from a token budget, so that a larger machine changes the speed and never
the optimisation (docs/protocol.md section 4). Rows are laid end to end without padding: on a GPU,
small padded batches wait for the CPU to launch their kernels.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence

import torch

from lib.config.recipes import PhaseParams
from lib.training.mask_proof import row_digest
from lib.training.masking import IGNORED, Encoded
from lib.training.memory import TrainingError

FIELDS = ("input_ids", "labels", "turns")  # one value per token


def optimizer_steps(sequences: int, phase: PhaseParams) -> int:
    """Optimizer steps of the recipe for so many rows, or packed sequences.

    Raises TrainingError below one effective batch.
    """
    if sequences < phase.effective_batch:
        raise TrainingError(
            f"{sequences} rows are fewer than one effective batch of {phase.effective_batch}; add "
            "rows or lower effective_batch"
        )
    return math.ceil(sequences / phase.effective_batch) * phase.epochs


def sequences_of(rows: Sequence[Encoded], phase: PhaseParams) -> list[dict]:
    """The sequences that an effective batch counts: one per row, unless `packing` is on.

    A packed sequence has several whole rows and up to `max_length` tokens. Packing changes the
    number of steps, so it warns with both numbers.

    Returns:
        For each sequence its input_ids, labels and turns, and the lengths of its rows.

    Raises TrainingError if packing lost or changed a row.
    """
    single = [
        {
            "input_ids": row.input_ids,
            "labels": row.labels,
            "turns": row.turns,
            "lengths": [len(row.input_ids)],
        }
        for row in rows
    ]
    if not phase.packing:
        return single
    from datasets import Dataset
    from trl import pack_dataset

    bare = Dataset.from_list([{field: row[field] for field in FIELDS} for row in single])
    packed = pack_dataset(bare, phase.max_length, "bfd")
    packed = packed.rename_column("seq_lengths", "lengths").to_list()
    _check_nothing_is_lost(rows, packed)
    warnings.warn(
        f"packing: {len(rows)} rows became {len(packed)} sequences, "
        f"{optimizer_steps(len(packed), phase)} optimizer steps in place of "
        f"{optimizer_steps(len(rows), phase)}; this is another optimisation than the recipe's",
        stacklevel=2,
    )
    return packed


def _check_nothing_is_lost(rows: Sequence[Encoded], packed: Sequence[dict]) -> None:
    """Raises TrainingError unless every row is in the packed sequences, whole and once."""
    kept = []
    for sequence in packed:
        kept += [(row["input_ids"], row["labels"]) for row in rows_in(sequence)]
    if sorted(kept) != sorted((row.input_ids, row.labels) for row in rows):
        raise TrainingError(
            f"packing changed rows ({len(rows)} given, {len(kept)} kept); pin the trl version of "
            "the lock"
        )


def rows_in(sequence: dict) -> Iterator[dict]:
    """The rows of a sequence. Without packing it is one."""
    start = 0
    for length in sequence["lengths"]:
        yield {field: sequence[field][start : start + length] for field in FIELDS}
        start += length


def collate(sequences: Sequence[dict], token_budget: int) -> dict:
    """One effective batch as micro-batches.

    The batch's rows are split, in order and between rows, into pieces of at most `token_budget`
    tokens; a longer row is a piece of its own.

    Returns:
        micro_batches, items (the tokens that carry loss in all of them), and rows (the digest of
        each row).
    """
    groups: list[list[dict]] = [[]]  # the rows of each micro-batch
    size = 0
    for row in itertools.chain.from_iterable(rows_in(sequence) for sequence in sequences):
        length = len(row["input_ids"])
        if groups[-1] and size + length > token_budget:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += length
    micro_batches = [end_to_end(rows) for rows in groups]
    digests = itertools.chain.from_iterable(_digests(batch) for batch in micro_batches)
    return {
        "micro_batches": micro_batches,
        "items": sum(int((batch["labels"] != IGNORED).sum()) for batch in micro_batches),
        "rows": list(digests),
    }


def _digests(micro_batch: dict) -> Iterator[str]:
    """The digest of each row of a micro-batch, from the tensors that the model will see."""
    for start, end in itertools.pairwise(micro_batch["row_ends"].tolist()):
        input_ids = micro_batch["input_ids"][0, start:end].tolist()
        labels = micro_batch["labels"][0, start:end].tolist()
        yield row_digest(input_ids, labels)


def end_to_end(rows: Sequence[dict]) -> dict:
    """Lay rows end to end, without padding, as one micro-batch.

    Returns:
        input_ids, labels, turns: (1, N).
        position_ids: (1, N). They start anew with each row, and the model derives a mask from them
        that keeps rows apart.
        row_ends (rows + 1,) and longest (tokens): the same for `attention.by_rows`.
        last_turn: the highest number of an assistant turn.
        The last two are Python numbers, so reading them does not wait for a GPU.
    """
    micro_batch = {}
    for field in FIELDS:
        values = itertools.chain.from_iterable(row[field] for row in rows)
        micro_batch[field] = torch.tensor([list(values)])
    lengths = [len(row["input_ids"]) for row in rows]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    # The last token of the row before must not be trained to predict a row's first token.
    micro_batch["labels"][positions == 0] = IGNORED
    return micro_batch | {
        "position_ids": positions,
        "row_ends": torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32),
        "longest": max(lengths),
        "last_turn": max(max(row["turns"]) for row in rows),
    }
