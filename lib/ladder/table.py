"""The ladder's table: dose, training and scores of every rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config.doses import Rung
from lib.config.experiment import Experiment
from lib.run import dose
from lib.run.facts import Phase2Facts


@dataclass(frozen=True)
class TrainedRung:
    """A trained rung."""

    rung: Rung
    adapter: Path
    facts: Phase2Facts


def ladder_table(
    trained: Sequence[TrainedRung], scores: Sequence[Mapping[str, Any]], experiment: Experiment
) -> list[dict[str, Any]]:
    """One row per rung: its dose, the numbers of its training, and its scores."""
    rows = []
    for one, scored in zip(trained, scores, strict=True):
        phase2 = dose.with_rung(experiment.profile, one.rung).phase2
        facts = one.facts
        losses = facts.losses
        rows.append(
            {
                "name": one.rung.name,
                "em": one.rung.em,
                "learning_rate": phase2.learning_rate,
                "epochs": phase2.epochs,
                "rows": facts.rows,
                "effective_batch": phase2.effective_batch,
                "optimizer_steps": facts.optimizer_steps,
                "steps_times_rate": facts.optimizer_steps * phase2.learning_rate,
                "rank": phase2.rank,
                "alpha": phase2.alpha,
                "system": phase2.system,
                "first_loss": losses[0][1] if losses else None,
                "last_loss": losses[-1][1] if losses else None,
                "seconds": facts.seconds,
                **scored,
            }
        )
    return rows
