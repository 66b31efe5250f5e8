"""Compare log-probabilities with those of rivals: wrong checkpoints that an engine may serve.

docs/protocol.md section 8. `lib.serving.parity` says what is compared with what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.config.params import load_gates
from lib.serving.checkpoint_logprobs import BASE


class ParityError(RuntimeError):
    """The engine serves another model than the trained one; raised before sampling starts."""


@dataclass(frozen=True)
class Comparison:
    """Both sides of a comparison, and how an error names them."""

    served: Mapping[str, np.ndarray]
    """By checkpoint, the engine's values, one per position."""

    expected: Mapping[str, Mapping[str, np.ndarray]]
    """By checkpoint, what it and every other checkpoint should give at its positions."""

    engine: str
    """The engine, as an error names it."""

    against: str
    """What it is compared with, as an error names it."""

    rounding: np.ndarray | float = 0.0
    """Size of the roundings, one for each position or one for all."""

    rounding_shared: float = 0.0
    """Mean square of the rounding in `expected` (`s²` in docs/protocol.md)."""

    largest_error: float = 0.0
    """Largest standard error at which a rival is tested."""

    parts: Sequence[np.ndarray] = ()
    """Groups of positions that are also tested separately."""


def compare(both: Comparison, bound: float) -> list[dict]:
    """One row per checkpoint, with the columns of `parity.check`.

    Raises ParityError for a checkpoint that is off, wrongly scaled or another's.
    """
    rows = []
    for name, values in both.expected.items():
        error = both.served[name] - values[name]
        effect = rms(values[name] - values[BASE])
        directions = {
            rival: theirs - values[name] for rival, theirs in _rivals(name, values).items()
        }
        if not rms(error) <= bound:
            raise ParityError(
                f"checkpoint {name}: {both.engine} gives log-probabilities that differ from "
                f"{both.against} by {rms(error):.2g} (root mean square), bound {bound:.2g}; it "
                "serves another model, adapter or scaling, take another engine or version"
            )
        crossed = {
            rival: _share(error, direction, both.rounding, both.rounding_shared, both.largest_error)
            for rival, direction in directions.items()
        }
        if BASE in crossed and crossed[BASE] is None:
            raise ParityError(
                f"checkpoint {name}: its adapter moves log-probabilities by {effect:.2g}, too "
                f"little compared with the error of {both.engine} ({rms(error):.2g}) to see "
                "whether it is applied; train it longer or at a higher rate, serve it in float32, "
                "or take another engine or version"
            )
        _check_nearest(name, both, error, directions, crossed)
        tested = {rival: share for rival, share in crossed.items() if share is not None}
        nearest = max(tested, key=tested.__getitem__, default=None)
        rows.append(
            {
                "checkpoint": name,
                "rms": rms(error),
                "bound": bound,
                "effect": effect,
                "nearest": nearest,
                "crossed": tested[nearest] if nearest else None,
                "unseen": [rival for rival, share in crossed.items() if share is None],
            }
        )
    return rows


def _check_nearest(
    name: str,
    both: Comparison,
    error: np.ndarray,
    directions: Mapping[str, np.ndarray],
    crossed: Mapping[str, float | None],
) -> None:
    """Raises ParityError if a checkpoint is nearer to a rival than to what was trained.

    All places are tested together, and each part separately.
    """
    limits = load_gates()
    tests: list[tuple[slice | np.ndarray, Mapping[str, float | None]]] = [(slice(None), crossed)]
    for places in both.parts:
        largest_error = limits["parity_seen_in_part"]
        shares = {
            rival: _share(
                error[places], direction[places], both.rounding, both.rounding_shared, largest_error
            )
            for rival, direction in directions.items()
        }
        tests.append((places, shares))
    for places, shares in tests:
        distance = {
            rival: rms((error - directions[rival])[places])
            for rival, share in shares.items()
            if share is not None and share > limits["parity_crossed"]
        }
        if distance:
            rival = min(distance, key=distance.__getitem__)
            raise ParityError(
                f"checkpoint {name}: {both.engine} is nearer to {rival} than to what was "
                f"trained (rms {distance[rival]:.2g} against {rms(error[places]):.2g} over "
                f"{error[places].size} positions); its adapter is not applied, scaled wrongly or "
                "another arm's; take another engine or version"
            )


def _share(
    error: np.ndarray,
    direction: np.ndarray,
    rounding: np.ndarray | float,
    rounding_shared: float,
    largest_error: float,
) -> float | None:
    """Project the engine's error onto the line from the right checkpoint (0) to a wrong one (1).

    The standard error of this share is estimated twice: from the rounding, and from the part of
    the error that is perpendicular to the line. The larger one counts.

    Args:
        error: engine - right checkpoint, (positions,).
        direction: wrong checkpoint - right checkpoint, (positions,).
        rounding: as in `Comparison`.
        rounding_shared: as in `Comparison`.
        largest_error: as in `Comparison`.

    Returns None if the standard error is too large, or if both checkpoints are the same.
    """
    if not direction.any():
        return None
    length = direction @ direction
    share = float(error @ direction / length)
    off_line = error - share * direction
    # Both sides are multiplied by `length`: the standard error, and the largest that is allowed.
    spread = max(np.linalg.norm(direction * rounding), np.linalg.norm(direction * off_line))
    allowed = largest_error * (length - 2 * rounding_shared * direction.size)
    return share if spread < allowed else None


def _rivals(name: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By name, the values that a mistake would serve in a checkpoint's place."""
    others = {other: theirs for other, theirs in values.items() if other != name}
    if name == BASE:
        return others
    # Log-probabilities are taken as linear in the adapter's scaling, which is exact enough here.
    shift = values[name] - values[BASE]
    return others | {
        "half its adapter": values[BASE] + shift / 2,
        "twice its adapter": values[BASE] + 2 * shift,
    }


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))
