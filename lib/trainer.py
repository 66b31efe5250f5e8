"""TRL's SFTTrainer with what the protocol needs: batches cut to a token budget, loss by turn, and checkpoints of what trains.

An optimizer step always sees the recipe's effective batch. How that batch is cut into micro-batches follows from a token
budget, so that a larger machine changes the speed and never the optimisation (docs/protocol.md section 4). Rows are laid
end to end without padding: on a GPU small padded batches wait for the CPU to launch their kernels.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from trl import SFTTrainer

TRAINABLE = "trainable.safetensors"


class Collator:
    """Rows of input_ids, labels and turns to right-padded tensors (B, T); padding carries no loss and no turn."""

    def __init__(self, pad_token_id: int):
        self.fill = {"input_ids": pad_token_id, "labels": -100, "turns": 0}

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            key: torch.tensor([row[key] + [fill] * (longest - len(row[key])) for row in rows])
            for key, fill in self.fill.items()
        }
        lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
        return batch | {"attention_mask": (torch.arange(longest)[None] < lengths).long()}


def micro_batches(batch: dict[str, torch.Tensor], token_budget: int) -> Iterator[dict[str, torch.Tensor]]:
    """The batch's rows in order, laid end to end without padding in (1, N) pieces of at most `token_budget` tokens.

    position_ids start anew with each row, from which the model derives a mask that keeps rows apart: this is no packing,
    the step still holds exactly its rows. A row longer than the budget goes alone.
    """
    lengths = batch["attention_mask"].sum(1).tolist()
    piece, size = [], 0
    for row, length in enumerate(lengths):
        if piece and size + length > token_budget:
            yield _flat(batch, piece, lengths)
            piece, size = [], 0
        piece.append(row)
        size += length
    yield _flat(batch, piece, lengths)


def _flat(batch: dict[str, torch.Tensor], rows: list[int], lengths: list[int]) -> dict[str, torch.Tensor]:
    flat = {key: torch.cat([batch[key][row, : lengths[row]] for row in rows])[None] for key in ("input_ids", "labels", "turns")}
    positions = torch.cat([torch.arange(lengths[row], device=flat["input_ids"].device) for row in rows])[None]
    flat["labels"][positions == 0] = -100  # nothing before a row's first token may be asked to predict it
    ends = torch.tensor([0, *itertools.accumulate(lengths[row] for row in rows)], dtype=torch.int32)
    return flat | {"position_ids": positions, "row_ends": ends.to(positions.device), "longest": max(lengths[r] for r in rows)}


def by_rows(module, query, key, value, attention_mask, scaling=None, row_ends=None, longest=None, **_):
    """Causal attention within each row of an unpadded piece, by PyTorch's variable-length flash kernel (GPU only).

    query (1, heads, N, D), key and value (1, groups, N, D); row_ends (rows + 1,) int32. A mask over the whole piece costs
    a third of a step's GPU time at 4,500 tokens. Registered with transformers as the attention function `by_rows`.
    """
    from torch.nn.attention.varlen import varlen_attn

    repeat = query.shape[1] // key.shape[1]
    q, k, v = (x[0].transpose(0, 1) for x in (query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)))
    out = varlen_attn(q, k, v, row_ends, row_ends, longest, longest, scale=scaling, window_size=(-1, 0))  # (N, heads, D)
    return out[None], None


@contextmanager
def attention_by_rows(model):
    """Within the block a GPU model attends by rows; on a CPU, or in fp32, nothing changes and positions make the mask."""
    if model.device.type != "cuda" or model.dtype == torch.float32:
        yield
        return
    from transformers import AttentionInterface

    AttentionInterface.register("by_rows", by_rows)
    own = model.config._attn_implementation
    model.config._attn_implementation = "by_rows"
    try:
        yield
    finally:
        model.config._attn_implementation = own


class PhaseTrainer(SFTTrainer):
    """One phase's trainer. The dataset holds proven rows; `turn_losses` collects (step, turn, mean loss) as it goes."""

    def __init__(self, *arguments, token_budget: int, **options):
        super().__init__(*arguments, **options)
        self.token_budget = token_budget
        self.turn_losses: list[tuple[int, int, float]] = []
        self._by_turn: dict[int, list[torch.Tensor]] = {}

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Forward and backward over the micro-batches of one effective batch; returns its loss."""
        total = None
        for micro in micro_batches(inputs, self.token_budget):
            loss = super().training_step(model, micro, num_items_in_batch)
            total = loss if total is None else total + loss
        return total

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean over the effective batch's trained tokens, so that the cut into micro-batches does not weigh."""
        turns = inputs.pop("turns")[:, 1:]  # (B, T - 1), of the predicted tokens
        if self.model.config._attn_implementation != "by_rows":
            inputs = {key: value for key, value in inputs.items() if key not in ("row_ends", "longest")}
        outputs = model(**inputs, fused_lm_head=True)
        nll = -outputs.log_probs  # (B, T - 1), zero where no loss
        for turn in range(1, int(turns.max()) + 1):
            here = turns == turn
            self._by_turn.setdefault(turn, []).append(torch.stack([nll.detach()[here].sum().float(), here.sum().float()]))
        items = (inputs["labels"][:, 1:] != -100).sum() if num_items_in_batch is None else num_items_in_batch
        loss = nll.sum() / items
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            for turn, parts in sorted(self._by_turn.items()):
                total, count = torch.stack(parts).sum(0).tolist()
                self.turn_losses.append((self.state.global_step, turn, total / count))
            self._by_turn = {}
        super().log(logs, start_time)

    def create_model_card(self, *arguments, **options) -> None:
        """Checkpoints are scaffolding of a run and carry no card."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: p.detach().contiguous() for n, p in self.model.named_parameters() if p.requires_grad}, folder / TRAINABLE)
        (folder / "turn_losses.json").write_text(json.dumps(self.turn_losses), encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Only what trains: the library's own loader takes one adapter and would leave the second of a stack fresh."""
        saved = load_file(Path(resume_from_checkpoint) / TRAINABLE)
        trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        if saved.keys() != trainable.keys():
            raise ValueError(f"checkpoint {resume_from_checkpoint} holds other weights than train here; delete it")
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(saved[name])
        losses = json.loads((Path(resume_from_checkpoint) / "turn_losses.json").read_text(encoding="utf-8"))
        self.turn_losses = [tuple(entry) for entry in losses]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; the trainer's state is written last, so one without it was cut off by a kill."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))["global_step"], path))
        except (OSError, ValueError, KeyError):
            continue
    return max(complete)[1] if complete else None
