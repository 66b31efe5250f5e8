"""What one training run did, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Trained:
    """What a phase did: steps, tokens, losses, seconds, memory, and the checks' numbers."""

    optimizer_steps: int
    """Steps that were made."""

    trained_tokens: int
    """Tokens that carried loss, counted as the trainer took the rows."""

    total_tokens: int
    """Tokens that were read, over all epochs; there is no padding."""

    losses: list[tuple[int, float]]
    """(step, mean loss in nats since the entry before)."""

    turn_losses: list[tuple[int, int, float]]
    """(step, assistant turn, mean loss in nats)."""

    seconds: float
    """Seconds of training since the step `resumed_at`."""

    resumed_at: int
    """The step of the checkpoint from which a killed training continued, or 0."""

    peak_memory_gib: float
    """Peak memory of the device."""

    token_budget: int
    """Tokens per micro-batch, as `training.memory_gib` allowed."""

    gradient_checkpointing: bool
    """Whether activations were recomputed, as `training.memory_gib` required."""

    join_difference: float | None = None
    """Largest logit difference of the joined adapter to its stack. None: nothing was joined."""

    join_bound: float | None = None
    """The bound of that difference."""

    join_weight_difference: float | None = None
    """Largest relative difference of a layer's joined update to the sum of its parts'."""

    phase1_effect: float | None = None
    """Largest change of a logit by the Phase-1 adapter before Phase 2. None without an adapter."""

    consumed: dict[str, int] = field(default_factory=dict)
    """How often the trainer took each row, by `mask_proof.row_digest`."""

    def facts(self) -> dict:
        """The numbers for a stage's manifest, with the speed since `resumed_at`."""
        share = 1 - self.resumed_at / self.optimizer_steps
        speed = self.total_tokens * share / self.seconds if share and self.seconds else None
        facts = {name: value for name, value in vars(self).items() if name != "consumed"}
        return facts | {"tokens_per_second": speed}
