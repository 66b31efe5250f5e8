"""Does the serving engine serve what was trained? (docs/protocol.md section 8)

Two comparisons of log-probabilities (`lib.serving.checkpoint_logprobs`):

- `check`: the engine reads fixed conversations in one pass, and so does the training stack.
- `check_decoding`: the engine draws tokens one by one, with all adapters in one batch, and then
  reads the same tokens in one pass.

In fp32 both sides agree to rounding, and a bound on their difference is enough. In bf16 they round
by more than a short fine-tune moves a log-probability. So besides the bound, every checkpoint has
to be nearer to its own training-stack values than to any wrong checkpoint's: the bare base (adapter
not applied), half and twice its adapter (wrong scaling), and every other arm (adapters mixed up).
The roundings at different positions are independent of each other, so along the line from the right
checkpoint to a wrong one they average out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.config.params import load_gates
from lib.serving.checkpoint_logprobs import BASE, POSITIONS
from lib.serving.rivals import Comparison, ParityError, compare, rms

COMPARED = ("read", "drawn")  # what a finished stage has compared


def check(
    training: Mapping[str, np.ndarray], serving: Mapping[str, np.ndarray], bound: float
) -> list[dict]:
    """One row per checkpoint: how far engine and training stack are apart, and in which direction.

    Args:
        training: by checkpoint, one log-probability per position.
        serving: the same of the engine.
        bound: largest root mean square difference.

    Returns:
        checkpoint; rms; bound; effect (rms shift from the base); nearest (the wrong checkpoint
        that the engine is closest to); crossed (the share of the way there, a mistake beyond
        `parity_crossed`; None without a rival); unseen (rivals too alike to be told apart).

    Raises:
        ParityError: a checkpoint is off, wrongly scaled or another's.
    """
    expected = dict.fromkeys(training, training)
    engine = "the serving engine"
    against = "the training stack's"
    _check_complete(serving, expected, engine, against)
    error = serving[BASE] - training[BASE]
    rounding = np.maximum(np.abs(error), rms(error))
    comparison = Comparison(
        serving,
        expected,
        engine,
        against,
        rounding,
        largest_error=load_gates()["parity_seen"],
    )
    return compare(comparison, bound)


def check_decoding(
    drawn: Mapping[str, np.ndarray],
    read: Mapping[str, Mapping[str, np.ndarray]],
    bound: float,
    passed: Sequence[Mapping],
) -> list[dict]:
    """As `check`, for tokens that the engine drew step by step, against its own reading of them.

    Both sides are rounded here. How much is estimated as the median over the adapters of their rms
    difference. (The base has no LoRA kernels and may not differ at all.) The estimate is at most
    what two readings can differ by, or a fault of most adapters would be taken for rounding.

    The reading's rounding is a part of the direction to every wrong checkpoint, so a correct engine
    seems to have moved that way. Its mean square is taken as half of the squared difference
    (docs/protocol.md section 8, `s²`). To find a fault in a part of the batch or of the steps,
    every sequence and every quarter of the steps is tested separately too.

    Args:
        drawn: by checkpoint, one value per position, as drawn.
        read: by checkpoint that drew, by checkpoint that reads: the same tokens as read.
        bound: largest root mean square difference.
        passed: the rows of `check`, which the engine has passed.

    Raises ParityError.
    """
    engine = "the serving engine, as it draws tokens,"
    against = "those it gives the same tokens in a prompt"
    _check_complete(drawn, read, engine, against)
    differences = [
        rms(drawn[name] - values[name])
        for name, values in read.items()
        if name != BASE or len(read) == 1
    ]
    of_two_readings = 2**0.5 * max(row["rms"] for row in passed)
    rounding = float(min(np.median(differences), of_two_readings))
    grid = np.arange(drawn[BASE].size).reshape(-1, POSITIONS)
    quarters = [steps.ravel() for steps in np.split(grid, 4, axis=1)]
    comparison = Comparison(
        drawn,
        read,
        engine,
        against,
        rounding,
        rounding_shared=rounding**2 / 2,
        largest_error=load_gates()["parity_seen_drawn"],
        parts=[*grid, *quarters],
    )
    return compare(comparison, bound)


def as_frame(rows: Sequence[dict]) -> pd.DataFrame:
    """The rows of `check` or `check_decoding` as a table for people. `unseen` is None if empty."""
    table = pd.DataFrame(rows)
    unseen = [", ".join(row["unseen"]) or None for row in rows]
    return table.assign(unseen=pd.Series(unseen, index=table.index))


def _check_complete(
    served: Mapping[str, np.ndarray],
    expected: Mapping[str, Mapping[str, np.ndarray]],
    engine: str,
    against: str,
) -> None:
    """Raises ParityError if a value is missing, NaN or infinite."""
    for name, values in expected.items():
        finite = np.isfinite(served[name])
        if served[name].shape != values[name].shape or not finite.all():
            raise ParityError(
                f"checkpoint {name}: {engine} gave {int(finite.sum())} finite log-probabilities of "
                f"{values[name].size}; it cannot be compared with {against}"
            )
        for other, theirs in values.items():
            if not np.isfinite(theirs).all():
                raise ParityError(
                    f"checkpoint {other} gives NaN or infinite log-probabilities, to compare with "
                    f"{name}; train it again at a lower rate, or take another engine or version"
                )
