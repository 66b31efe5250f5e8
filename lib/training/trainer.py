"""TRL's SFTTrainer with what the protocol needs: batches cut to a token budget, loss by turn, and checkpoints of what trains.

An optimizer step always sees the recipe's effective batch. How that batch is cut into micro-batches follows from a token
budget, so that a larger machine changes the speed and never the optimisation (docs/protocol.md section 4). Rows are laid
end to end without padding: on a GPU small padded batches wait for the CPU to launch their kernels. For the same reason
nothing between two steps reads a number from the GPU, except TRL's head, which counts the labelled tokens, and a logged loss.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from trl import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from lib.training.lora_linear import lean
from lib.training.masking import IGNORED, row_digest
from lib.training.memory import TrainingError

TRAINABLE, PROGRESS = "trainable.safetensors", "progress.json"


def collate(rows: Sequence[dict], token_budget: int) -> dict:
    """One effective batch (fit.sequences_of) as micro-batches, with the number of tokens that carry loss in all of them and
    the digest of each row.

    Its rows are cut, in order and between rows, into pieces of at most `token_budget` tokens; a longer row goes alone.
    """
    parts = [part for row in rows for part in rows_in(row)]
    pieces, size = [[]], 0
    for part in parts:
        length = len(part["input_ids"])
        if pieces[-1] and size + length > token_budget:
            pieces.append([])
            size = 0
        pieces[-1].append(part)
        size += length
    micro_batches = [_end_to_end(piece) for piece in pieces]
    return {
        "micro_batches": micro_batches,
        "items": sum(int((m["labels"] != IGNORED).sum()) for m in micro_batches),
        "rows": [digest for m in micro_batches for digest in _digests(m)],
    }


def _digests(piece: dict) -> Iterator[str]:
    """The digests of a micro-batch's rows, of what the model is going to see."""
    for start, end in itertools.pairwise(piece["row_ends"].tolist()):
        yield row_digest(*(piece[key][0, start:end].tolist() for key in ("input_ids", "labels")))


def rows_in(sequence: dict) -> Iterator[dict]:
    """The rows that a packed sequence holds; one, as a rule."""
    start = 0
    for length in sequence["lengths"]:
        yield {
            key: sequence[key][start : start + length] for key in ("input_ids", "labels", "turns")
        }
        start += length


def _end_to_end(rows: Sequence[dict]) -> dict:
    """Rows laid end to end in (1, N) tensors without padding.

    position_ids start anew with each row, from which the model derives a mask that keeps rows apart; row_ends (rows + 1,)
    and the longest row's length say the same to an attention kernel. Plain numbers are read without waiting for a GPU.
    """
    piece = {
        key: torch.tensor([[v for row in rows for v in row[key]]])
        for key in ("input_ids", "labels", "turns")
    }
    lengths = [len(row["input_ids"]) for row in rows]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    piece["labels"][positions == 0] = (
        IGNORED  # nothing before a row's first token may be asked to predict it
    )
    ends = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
    last_turn = max(max(row["turns"]) for row in rows)
    return piece | {
        "position_ids": positions,
        "row_ends": ends,
        "longest": max(lengths),
        "last_turn": last_turn,
    }


def by_rows(
    module, query, key, value, attention_mask, scaling=None, row_ends=None, longest=None, **_
):
    """Causal attention within each row of an unpadded piece, by PyTorch's variable-length flash kernel (GPU only).

    query (1, heads, N, D), key and value (1, groups, N, D); row_ends (rows + 1,) int32. A mask over the whole piece costs
    a third of a step's GPU time at 4,500 tokens. Registered with transformers as the attention function `by_rows`.
    Eight parameters: transformers calls an attention function with these.
    """
    from torch.nn.attention.varlen import varlen_attn

    repeat = query.shape[1] // key.shape[1]
    q, k, v = (
        x[0].transpose(0, 1)
        for x in (query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1))
    )
    out = varlen_attn(
        q, k, v, row_ends, row_ends, longest, longest, scale=scaling, window_size=(-1, 0)
    )  # (N, heads, D)
    return out[None], None


@contextmanager
def attention_by_rows(model):
    """Within the block a GPU model attends by rows; on a CPU, or in fp32, nothing changes and positions make the mask."""
    if (
        model.device.type != "cuda"
        or not lean(model)
        or getattr(model.config, "sliding_window", None)
    ):
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


@contextmanager
def without_walks(model):
    """Within the block the model answers from memory what the library asks of it at every step.

    `train()`, clipping and `zero_grad()` each walk over all modules, thousands with LoRA, which costs a fifth of the time
    in which the CPU can launch a step of a 7B model. Modules and parameters do not change during a training.
    """
    parameters = list(model.parameters())
    model.parameters = lambda recurse=True: iter(parameters)
    model.train = lambda mode=True: (
        model if model.training == mode else type(model).train(model, mode)
    )
    try:
        yield
    finally:
        del model.parameters, model.train


@contextmanager
def checkpointing_undone(model):
    """After the block the base recomputes no activations and has no hooks that a training with checkpointing left on it."""
    base = model.get_base_model()
    hooks = base.get_input_embeddings()._forward_hooks
    own = set(hooks)
    try:
        yield
    finally:
        if base.is_gradient_checkpointing:
            base.gradient_checkpointing_disable()
        for key in set(hooks) - own:
            del hooks[key]


class DivergedError(TrainingError):
    """A loss that is no number."""


class PhaseTrainer(SFTTrainer):
    """One phase's trainer. The dataset holds proven rows; `turn_losses` collects (step, turn, mean loss) as it goes,
    `consumed` how often each row was trained on, `consumed_tokens` the tokens that carried loss."""

    def __init__(self, *arguments, identity: str, **options):
        super().__init__(*arguments, **options)
        self.identity = identity
        self._restore_head()  # TRL's also computes entropy and accuracy of every token, which nobody reads
        add_fused_lm_head(self.model.get_base_model())
        self.turn_losses: list[tuple[int, int, float]] = []
        self._by_turn: dict[int, list[torch.Tensor]] = {}
        self.consumed: Counter[str] = Counter()
        self.consumed_tokens = 0

    def train(self, *arguments, **options):
        """Trains; the fused head goes with its trainer, or every later arm would wrap it once more."""
        try:
            return super().train(*arguments, **options)
        finally:
            self._restore_head()

    def _restore_head(self) -> None:
        vars(self.model.get_base_model()).pop("forward", None)

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Forward and backward over the micro-batches of one effective batch; returns its loss."""
        self.consumed.update(inputs["rows"])
        self.consumed_tokens += inputs["items"]
        return sum(
            super(PhaseTrainer, self).training_step(model, micro, inputs["items"])
            for micro in inputs["micro_batches"]
        )

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean over the effective batch's trained tokens, so that the cut into micro-batches does not weigh."""
        inputs = dict(inputs)
        turns, last_turn = (
            inputs.pop("turns")[:, 1:],
            inputs.pop("last_turn"),
        )  # (1, N - 1), of the predicted tokens
        if self.model.config._attn_implementation != "by_rows":
            inputs = {
                key: value for key, value in inputs.items() if key not in ("row_ends", "longest")
            }
        outputs = model(**inputs, fused_lm_head=True)
        nll = -outputs.log_probs  # (1, N - 1), zero where no loss
        trained = inputs["labels"][:, 1:] != IGNORED
        for turn in range(1, last_turn + 1):
            here = (turns == turn) & trained
            self._by_turn.setdefault(turn, []).append(
                torch.stack([(nll.detach() * here).sum().float(), here.sum().float()])
            )
        loss = nll.sum() / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise DivergedError(
                    f"the loss became NaN or infinite at step {self.state.global_step}; lower the learning rate"
                )
            for turn, parts in sorted(self._by_turn.items()):
                total, count = torch.stack(parts).sum(0).tolist()
                if count:
                    self.turn_losses.append((self.state.global_step, turn, total / count))
            self._by_turn = {}
        super().log(logs, start_time)

    def floating_point_ops(self, inputs) -> int:
        """Nobody reads the count, and it walks over all parameters at every step."""
        return 0

    def create_model_card(self, *arguments, **options) -> None:
        """Checkpoints are scaffolding of a run and carry no card."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                n: p.detach().contiguous()
                for n, p in self.model.named_parameters()
                if p.requires_grad
            },
            folder / TRAINABLE,
        )
        (folder / PROGRESS).write_text(
            json.dumps(
                {
                    "identity": self.identity,
                    "turn_losses": self.turn_losses,
                    "consumed": self.consumed,
                    "consumed_tokens": self.consumed_tokens,
                }
            ),
            encoding="utf-8",
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Only what trains: the library's own loader takes one adapter and would leave the second of a stack fresh."""
        progress = json.loads((Path(resume_from_checkpoint) / PROGRESS).read_text(encoding="utf-8"))
        saved = load_file(Path(resume_from_checkpoint) / TRAINABLE)
        trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        shapes = [{n: p.shape for n, p in weights.items()} for weights in (saved, trainable)]
        if progress["identity"] != self.identity or shapes[0] != shapes[1]:
            raise TrainingError(
                f"checkpoint {Path(resume_from_checkpoint).name} is of another recipe, seed, rows or adapter; "
                "delete it, or give another folder"
            )
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(saved[name])
        self.turn_losses = [tuple(entry) for entry in progress["turn_losses"]]
        self.consumed, self.consumed_tokens = (
            Counter(progress["consumed"]),
            progress["consumed_tokens"],
        )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; the trainer's state is written last, so one without it was cut off by a kill."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append(
                (
                    json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))[
                        "global_step"
                    ],
                    path,
                )
            )
        except (OSError, ValueError, KeyError):
            continue
    return max(complete)[1] if complete else None
