"""Does the serving engine serve what was trained? Its log-probabilities against the training stack's (docs/protocol.md
section 8).

Both are asked for the log-probabilities of the same tokens: 32 fixed positions in each of sixteen fixed conversations. The
engine reads these in one go; what it draws token by token, with all adapters in one batch, it is asked to read again. In
fp32 they agree to rounding, and a bound says it all. In bf16 both round by more than a short fine-tune moves a
log-probability, so beside the bound every checkpoint has to stand nearer to its own training-stack values than to any wrong
checkpoint's: the bare base (adapter not applied), half and twice its adapter (wrong scaling), and every other arm (adapters
mixed up). Roundings of one position agree over its tokens but not with another position's, so along the line from right to
wrong they average out over the positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import pandas as pd

from lib.config.params import load_gates
from lib.config.roles import PLANNED
from lib.serving.sampling import Request

POSITIONS = 32  # at the end of each conversation
COMPARED = ("read", "drawn")  # what a finished stage has compared
BASE = PLANNED.base  # the checkpoint of every untrained arm


class ParityError(RuntimeError):
    """An engine that serves something else than what was trained; stops the run before anything is sampled."""


def training_logprobs(model, names: Sequence[str], rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The training stack's values: transformers with each adapter unmerged beside the base, and the bare base.

    model: in fp32 whatever the engine's type. Were its values rounded too, the way to every wrong checkpoint would carry
    the roundings of its start, and a right engine would seem to have gone part of it. A joined adapter stands for its stack
    here; notebook 03 has compared the two, layer by layer, when it joined them.
    """
    from lib.training.adapters import active
    from lib.training.logits import own_logprobs

    values = {}
    for name in [BASE, *names]:
        with active(model, _adapter(name)):
            values[name] = own_logprobs(model, rows, POSITIONS)
    return values


def serving_logprobs(sampler, names: Sequence[str], rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The engine's values, read as a prompt."""
    return {name: sampler.logprobs(rows, POSITIONS, _adapter(name)) for name in [BASE, *names]}


def decoding_logprobs(
    sampler, names: Sequence[str], prompts: Sequence[list[dict]]
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """The engine's values for tokens of its own, as it drew them, and as each checkpoint reads them in a prompt.

    Where adapters are served side by side, all draw in one call that fills the batch, and one sequence a prompt is compared;
    the others end one after the other, so that the batch shrinks meanwhile. Else an eighth of the prompts is enough, and
    only the bare base can take a checkpoint's place.
    """
    checkpoints, prompts = [BASE, *names], prompts if sampler.interleaves else prompts[::8]
    asked = [(number, name) for number in range(len(prompts)) for name in checkpoints]
    compared = [
        Request(f"parity/{name}/{number}", prompts[number], _adapter(name), POSITIONS)
        for number, name in asked
    ]
    more = sampler.batch // len(asked) - 1 if sampler.interleaves else 0
    others = (
        [
            Request(
                f"{one.key}/more",
                one.messages,
                one.adapter,
                1 + place * (POSITIONS - 1) // len(asked),
                more,
            )
            for place, one in enumerate(compared)
        ]
        if more > 0
        else []
    )
    side_by_side = [one for pair in zip_longest(compared, others) for one in pair if one]
    made = {
        request.key: drawn[0]
        for request, drawn in zip(side_by_side, sampler.decode(side_by_side), strict=True)
    }
    drawn = {
        name: [made[f"parity/{name}/{number}"] for number in range(len(prompts))]
        for name in checkpoints
    }
    told = {name: np.concatenate([one.logprobs for one in of]) for name, of in drawn.items()}
    read: dict[str, dict[str, np.ndarray]] = {name: {} for name in checkpoints}
    for reader in checkpoints:
        of = [name for name in checkpoints if sampler.interleaves or reader in (name, BASE)]
        values = sampler.logprobs(
            [one.prompt + one.ids for name in of for one in drawn[name]],
            POSITIONS,
            _adapter(reader),
        )
        for name, own in zip(of, values.reshape(len(of), -1), strict=True):
            read[name][reader] = own
    return told, read


def check(
    training: dict[str, np.ndarray], serving: dict[str, np.ndarray], bound: float
) -> list[dict]:
    """One row a checkpoint: how far engine and training stack are apart, and how near to the likeliest mistake.

    Values: one log-probability a position, for `base` and every served name. bound: largest root mean square difference.
    Columns: checkpoint, rms, bound, effect (rms shift from the base), nearest (the wrong checkpoint that the engine stands
    closest to) and crossed (share of the way there, a mistake beyond `parity_crossed`; None without a rival), unseen
    (rivals too alike to be told apart). Raises ParityError.
    """
    right, who = (
        {name: training for name in training},
        ("the serving engine", "the training stack's"),
    )
    _check_complete(serving, right, *who)
    error = serving[BASE] - training[BASE]
    return _compare(
        serving,
        right,
        bound,
        np.maximum(np.abs(error), _rms(error)),
        0.0,
        load_gates()["parity_seen"],
        [],
        *who,
    )


def check_decoding(
    told: dict[str, np.ndarray],
    read: dict[str, dict[str, np.ndarray]],
    bound: float,
    found: list[dict],
) -> list[dict]:
    """The same for tokens that the engine drew step by step, against its own reading of them.

    found: the rows of `check`, which the engine has passed. Both sides round here, by the median over the adapters (the
    base, without LoRA's kernels, may not differ at all), yet no more than two readings would: else a fault of most of them
    would pass for rounding. What the reading rounds lies on the way to every wrong checkpoint too, so that a right engine
    goes a part of it; half of the squared difference is counted for that. A mistake in a part of the batch or of the steps
    is looked for in every sequence and in every quarter of the steps.
    """
    who = ("the serving engine, as it draws tokens,", "those it gives the same tokens in a prompt")
    _check_complete(told, read, *who)
    differences = [
        _rms(told[name] - values[name])
        for name, values in read.items()
        if name != BASE or len(read) == 1
    ]
    rounding = float(min(np.median(differences), 2**0.5 * max(row["rms"] for row in found)))
    grid = np.arange(told[BASE].size).reshape(-1, POSITIONS)
    parts = [*grid, *(steps.ravel() for steps in np.split(grid, 4, axis=1))]
    return _compare(
        told, read, bound, rounding, rounding**2 / 2, load_gates()["parity_seen_drawn"], parts, *who
    )


def as_frame(rows: Sequence[dict]) -> pd.DataFrame:
    """The rows of `check` or `check_decoding` for a reader; a dash where nothing would go unseen."""
    table = pd.DataFrame(rows)
    return table.assign(unseen=[", ".join(row["unseen"]) or None for row in rows])


def _check_complete(told, right, engine: str, against: str) -> None:
    for name, values in right.items():
        if told[name].shape != values[name].shape or not np.isfinite(told[name]).all():
            raise ParityError(
                f"checkpoint {name}: {engine} told {int(np.isfinite(told[name]).sum())} finite log-"
                f"probabilities of {values[name].size}; it cannot be compared with {against}"
            )
        for other, theirs in values.items():
            if not np.isfinite(theirs).all():
                raise ParityError(
                    f"checkpoint {other} gives NaN or infinite log-probabilities, to compare with {name}; train "
                    "it again at a lower rate, or take another engine or version"
                )


def _compare(
    told,
    right,
    bound: float,
    rounding,
    shared: float,
    seen: float,
    parts,
    engine: str,
    against: str,
) -> list[dict]:
    """One row for each checkpoint. Raises ParityError for one that is off, wrongly scaled or another's.

    Nine parameters: both readings, what they are held against, and how an error names them.

    Args:
        right: for each checkpoint the values that it and the others give at its places.
        shared: mean square of what the right values round.
        parts: places that are tested apart as well.
    """
    rows, limits = [], load_gates()
    for name, values in right.items():
        error, effect = told[name] - values[name], _rms(values[name] - values[BASE])
        ways = {rival: theirs - values[name] for rival, theirs in _rivals(name, values).items()}
        if not _rms(error) <= bound:
            raise ParityError(
                f"checkpoint {name}: {engine} gives log-probabilities that differ from {against} by {_rms(error):.2g} (root "
                f"mean square), bound {bound:.2g}; it serves another model, adapter or scaling, take another engine or version"
            )
        crossed = {rival: _share(error, way, rounding, shared, seen) for rival, way in ways.items()}
        if BASE in crossed and crossed[BASE] is None:
            raise ParityError(
                f"checkpoint {name}: its adapter moves log-probabilities by {effect:.2g}, too little beside what {engine} "
                f"differs by ({_rms(error):.2g}) to see whether it is applied; train it longer or at a higher rate, serve it "
                "in float32, or take another engine or version"
            )
        in_parts = [
            (
                places,
                {
                    rival: _share(
                        error[places], way[places], rounding, shared, limits["parity_seen_in_part"]
                    )
                    for rival, way in ways.items()
                },
            )
            for places in parts
        ]
        for places, shares in [(slice(None), crossed), *in_parts]:
            if wrong := [
                rival
                for rival, share in shares.items()
                if share is not None and share > limits["parity_crossed"]
            ]:
                distance = {rival: _rms((error - ways[rival])[places]) for rival in wrong}
                raise ParityError(
                    f"checkpoint {name}: {engine} stands nearer to {min(wrong, key=distance.get)} than to what was trained "
                    f"(rms {min(distance.values()):.2g} against {_rms(error[places]):.2g} over {error[places].size} positions);"
                    " its adapter is not applied, scaled wrongly or another arm's; take another engine or version"
                )
        tested = {rival: share for rival, share in crossed.items() if share is not None}
        nearest = max(tested, key=tested.get, default=None)
        rows.append(
            {
                "checkpoint": name,
                "rms": _rms(error),
                "bound": bound,
                "effect": effect,
                "nearest": nearest,
                "crossed": tested[nearest] if nearest else None,
                "unseen": [rival for rival, share in crossed.items() if share is None],
            }
        )
    return rows


def _share(error, way, rounding, shared: float, seen: float) -> float | None:
    """The part of the way to a wrong checkpoint that the engine has gone; None where its standard error, from the rounding
    or from what lies beside the way, is too large to tell."""
    if not way.any():
        return None
    share = float(error @ way / (way @ way))
    spread = max(np.linalg.norm(way * rounding), np.linalg.norm(way * (error - share * way)))
    return share if spread < seen * (way @ way - 2 * shared * way.size) else None


def _adapter(checkpoint: str) -> str | None:
    return None if checkpoint == BASE else checkpoint


def _rivals(name: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a mistake would serve in a checkpoint's place."""
    others = {other: theirs for other, theirs in values.items() if other != name}
    if name == BASE:
        return others
    shift = (
        values[name] - values[BASE]
    )  # nearly linear in the adapter's scaling, as far as that is needed here
    return others | {
        "half its adapter": values[BASE] + shift / 2,
        "twice its adapter": values[BASE] + 2 * shift,
    }


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
