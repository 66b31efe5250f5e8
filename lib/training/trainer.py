"""TRL's SFTTrainer with losses by assistant turn and with checkpoints of the trainable weights.

Between two steps almost nothing reads a number from the GPU, so the CPU can launch kernels ahead of
it. The two exceptions are TRL's head, which counts the labelled tokens, and a logged loss
(docs/protocol.md section 4).
"""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from trl import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from lib.training import checkpoints
from lib.training.adapters import base_of
from lib.training.cpu_head import add_cpu_head
from lib.training.masking import IGNORED
from lib.training.memory import TrainingError

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers.trainer_utils import TrainOutput

TRAINABLE = "trainable.safetensors"
PROGRESS = "progress.json"


class DivergedError(TrainingError):
    """The loss became NaN or infinite."""


class PhaseTrainer(SFTTrainer):
    """One phase's trainer, on a dataset of proven rows.

    `turn_losses` collects (step, turn, mean loss); `consumed` counts how often each row was
    trained on, and `consumed_tokens` the tokens that carried loss.
    """

    def __init__(self, *arguments, identity: str, **options):
        """identity: fingerprint of recipe, seed and rows; a checkpoint must have the same."""
        super().__init__(*arguments, **options)
        self.identity = identity
        # TRL's own head also computes entropy and accuracy of every token, which nobody reads.
        self._restore_head()
        add_head = add_cpu_head if self._peft.device.type == "cpu" else add_fused_lm_head
        add_head(base_of(self._peft))
        self.turn_losses: list[tuple[int, int, float]] = []
        self._by_turn: dict[int, list[torch.Tensor]] = {}
        self.consumed: Counter[str] = Counter()
        self.consumed_tokens = 0

    def train(self, *arguments: Any, **options: Any) -> TrainOutput:
        """Train, and take the fused head off again, or every later arm would wrap it once more."""
        try:
            return super().train(*arguments, **options)
        finally:
            self._restore_head()

    @property
    def _peft(self) -> PeftModel:
        """The model that is trained; the library's own attribute may be any module, or none."""
        assert isinstance(self.model, PeftModel), "the trainer's model has no adapter"
        return self.model

    def _restore_head(self) -> None:
        """Give the base its own forward back."""
        vars(base_of(self._peft)).pop("forward", None)

    def training_step(
        self, model: Module, inputs: dict[str, Any], num_items_in_batch: int | None = None
    ) -> torch.Tensor:
        """Forward and backward over the micro-batches of one effective batch; returns its loss."""
        self.consumed.update(inputs["rows"])
        self.consumed_tokens += inputs["items"]
        step = super().training_step
        losses = [step(model, piece, inputs["items"]) for piece in inputs["micro_batches"]]
        return reduce(operator.add, losses)

    def compute_loss(
        self,
        model: Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Any:
        """The micro-batch's part of the mean loss over the effective batch's trained tokens.

        The sum over the micro-batches does not depend on how the batch was split.
        """
        inputs = dict(inputs)
        turns = inputs.pop("turns")[:, 1:]  # (1, N - 1), of the predicted tokens
        last_turn = inputs.pop("last_turn")
        if self._peft.config._attn_implementation != "by_rows":
            inputs.pop("row_ends", None)
            inputs.pop("longest", None)
        outputs = model(**inputs, fused_lm_head=True)
        nll = -outputs.log_probs  # (1, N - 1), zero where no loss
        trained = inputs["labels"][:, 1:] != IGNORED
        for turn in range(1, last_turn + 1):
            here = (turns == turn) & trained
            total = (nll.detach() * here).sum().float()
            count = here.sum().float()
            self._by_turn.setdefault(turn, []).append(torch.stack([total, count]))
        loss = nll.sum() / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Record the losses by turn beside TRL's own. Raises DivergedError for NaN or infinity."""
        if "loss" in logs:
            step = self.state.global_step
            if not math.isfinite(logs["loss"]):
                raise DivergedError(
                    f"the loss became NaN or infinite at step {step}; lower the learning rate"
                )
            for turn, sums in sorted(self._by_turn.items()):
                total, count = torch.stack(sums).sum(0).tolist()
                if count:
                    self.turn_losses.append((step, turn, total / count))
            self._by_turn = {}
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """0: nobody reads this count, and TRL's walks over all parameters at every step."""
        return 0

    def create_model_card(self, *arguments: Any, **options: Any) -> None:
        """Write no card: checkpoints are removed when the training ends."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Write the trainable weights and what this class counts; not the base."""
        chosen = output_dir or self.args.output_dir
        assert chosen, "the trainer has no folder for checkpoints"
        folder = Path(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: p.detach().contiguous() for name, p in self._trainable().items()}
        save_file(weights, folder / TRAINABLE)
        progress = {
            "identity": self.identity,
            "turn_losses": self.turn_losses,
            "consumed": self.consumed,
            "consumed_tokens": self.consumed_tokens,
        }
        (folder / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        """Load what `_save` wrote. Raises TrainingError if the checkpoint is another training's.

        The library's own loader reads one adapter and would leave the second one of a stack fresh.
        """
        folder = Path(resume_from_checkpoint)
        progress = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        saved = load_file(folder / TRAINABLE)
        trainable = self._trainable()
        saved_shapes = {name: weight.shape for name, weight in saved.items()}
        shapes = {name: parameter.shape for name, parameter in trainable.items()}
        if progress["identity"] != self.identity or saved_shapes != shapes:
            raise TrainingError(
                f"checkpoint {folder.name} is of another recipe, seed, rows or adapter; delete it, "
                "or give another folder"
            )
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(saved[name])
        self.turn_losses = [tuple(entry) for entry in progress["turn_losses"]]
        self.consumed = Counter(progress["consumed"])
        self.consumed_tokens = progress["consumed_tokens"]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """As safetensors and JSON; the library's own would be a pickle."""
        checkpoints.save_optimizer(Path(output_dir), self.optimizer, self.lr_scheduler)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Read them back, if the training continues from a checkpoint. Raises TrainingError."""
        if checkpoint is not None:
            checkpoints.load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler)

    def _save_rng_state(self, output_dir: str) -> None:
        """As safetensors and JSON."""
        checkpoints.save_random(Path(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Read it back, if the training continues from a checkpoint."""
        if checkpoint is not None:
            checkpoints.load_random(Path(checkpoint))

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Save, and then write the checkpoint's record."""
        super()._save_checkpoint(*arguments, **options)
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        checkpoints.finish(folder)

    def _trainable(self) -> dict[str, torch.nn.Parameter]:
        """The trainable parameters by name."""
        return {name: p for name, p in self._peft.named_parameters() if p.requires_grad}


@contextmanager
def without_walks(model: PeftModel) -> Iterator[None]:
    """Within the block the model does not walk over its modules at every step.

    `train()`, gradient clipping and `zero_grad()` each do so. LoRA has thousands of modules, and
    this takes a fifth of the CPU time in which a step of a 7B model is launched. Modules and
    parameters do not change during a training, so their list is kept.
    """
    parameters = list(model.parameters())

    def train(mode: bool = True) -> PeftModel:
        return model if model.training == mode else type(model).train(model, mode)

    model.parameters = lambda recurse=True: iter(parameters)
    model.train = train
    try:
        yield
    finally:
        del model.parameters, model.train


@contextmanager
def checkpointing_undone(model: PeftModel) -> Iterator[None]:
    """After the block gradient checkpointing is off, and its hooks are removed from the base."""
    base = base_of(model)
    hooks = base.get_input_embeddings()._forward_hooks
    own = set(hooks)
    try:
        yield
    finally:
        if base.is_gradient_checkpointing:
            base.gradient_checkpointing_disable()
        for key in set(hooks) - own:
            del hooks[key]
