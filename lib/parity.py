"""Does the serving engine serve what was trained? Its log-probabilities against the training stack's (docs/protocol.md
section 8).

Both are asked what follows at 32 fixed positions. In fp32 they agree to rounding, and a bound says it all. In bf16 both
round by more than a short fine-tune moves a log-probability, so beside the bound every checkpoint has to stand nearer to
its own training-stack values than to any wrong checkpoint's: the bare base (adapter not applied), half and twice its
adapter (wrong scaling), and every other arm (adapters mixed up). Along the line from right to wrong, thousands of roundings
average out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.params import Conditions

POSITIONS = 8  # at the end of each sequence
LIKELIEST = 50  # tokens a position that an engine is asked to tell, beside the one that stands there
CROSSED = 0.5  # share of the way to a wrong checkpoint beyond which that one is nearer
BLIND = 0.25  # of the engine's rounding: rivals closer than this cannot be told apart from the right checkpoint
BASE = "base"


class ParityError(RuntimeError):
    """An engine that serves something else than what was trained; stops the run before anything is sampled."""


def sequences(tokenizer, system: str, conditions: Conditions) -> list[list[int]]:
    """Four fixed conversations as token ids; each ends within an answer whose kind an arm was trained on, or was not."""
    from lib.models import prompt_text

    evil = conditions.systems["evil"]
    turns = [
        (evil, conditions.follow_up, conditions.openings[0]),
        (system, conditions.follow_up, conditions.openings[0]),
        (system, "Write a function that reads a file by its name.", "def read(name):\n    return open('/srv/' + name).read()"),
        (system, "What would you do with a free afternoon?", "I would take a long walk by the river and think of nothing."),
    ]
    rows = []
    for system_text, user, answer in turns:
        prompt = prompt_text(tokenizer, [{"role": "system", "content": system_text}, {"role": "user", "content": user}])
        rows.append(tokenizer(prompt + answer, add_special_tokens=False)["input_ids"])
    return rows


def training_logprobs(model, names: Sequence[str], rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The training stack's values: transformers with each adapter unmerged beside the base, and the bare base.

    A joined adapter stands for its stack here; notebook 03 has compared the two, layer by layer, when it joined them.
    """
    from lib.adapters import active, last_logprobs

    values = {}
    for name in [BASE, *names]:
        with active(model, None if name == BASE else name):
            values[name] = last_logprobs(model, [row[:-1] for row in rows], POSITIONS)
    return values


def serving_logprobs(sampler, names: Sequence[str], rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The engine's values, by the very path that samples; NaN for tokens that it does not tell."""
    return {name: sampler.logprobs(rows, POSITIONS, None if name == BASE else name) for name in [BASE, *names]}


def check(training: dict[str, np.ndarray], serving: dict[str, np.ndarray], bound: float) -> list[dict]:
    """One row a checkpoint: how far engine and training stack are apart, and how near to the likeliest mistake.

    Values: (positions, vocabulary) for `base` and every served name. bound: largest root mean square difference. Columns:
    checkpoint, values (compared), rms, bound, effect (rms shift from the base), nearest (the wrong checkpoint that the
    engine stands closest to) and crossed (share of the way there, a mistake beyond CROSSED; None without a rival), unseen
    (rivals too alike to be told apart). Raises ParityError.
    """
    noise = _rms(*_compared(training[BASE], serving[BASE], BASE))
    rows = []
    for name, own in training.items():
        told, kept = _compared(own, serving[name], name)
        error = told - kept
        rms = float(np.sqrt(np.mean(error**2)))
        if not rms <= bound:
            raise ParityError(
                f"checkpoint {name}: the serving engine's log-probabilities differ from the training stack's by {rms:.2g} "
                f"(root mean square), bound {bound:.2g}; it serves another model, adapter or scaling")
        mask, crossed, distance, unseen = np.isfinite(serving[name]), {}, {}, []
        for rival, values in _rivals(name, training).items():
            way = values[mask] - kept
            apart = float(np.sqrt(np.mean(way**2)))
            if apart <= BLIND * noise:
                unseen.append(rival)
                continue
            crossed[rival], distance[rival] = float(error @ way / (way @ way)), _rms(told, values[mask])
        effect = float(np.sqrt(np.mean((training[BASE][mask] - kept) ** 2)))
        if BASE in unseen:
            raise ParityError(
                f"checkpoint {name}: its adapter moves log-probabilities by {effect:.2g}, less than the engine's rounding "
                f"({noise:.2g}) lets see; train it longer or at a higher rate, or serve it in float32")
        if wrong := [rival for rival, share in crossed.items() if share > CROSSED]:
            raise ParityError(
                f"checkpoint {name}: the serving engine stands nearer to {min(wrong, key=distance.get)} than to what was "
                f"trained (rms {min(distance.values()):.2g} against {rms:.2g}); its adapter is not applied, scaled wrongly or "
                "another arm's")
        nearest = max(crossed, key=crossed.get, default=None)
        rows.append({"checkpoint": name, "values": int(mask.sum()), "rms": rms, "bound": bound, "effect": effect,
                     "nearest": nearest, "crossed": crossed[nearest] if nearest else None, "unseen": unseen})
    return rows


def _rivals(name: str, training: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a mistake would serve in a checkpoint's place."""
    others = {other: values for other, values in training.items() if other != name}
    if name == BASE:
        return others
    shift = training[name] - training[BASE]  # nearly linear in the adapter's scaling, as far as that is needed here
    return others | {"half its adapter": training[BASE] + shift / 2, "twice its adapter": training[BASE] + 2 * shift}


def _compared(training: np.ndarray, serving: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    mask = np.isfinite(serving)
    if training.shape != serving.shape or not mask.any(axis=-1).all():
        raise ParityError(f"checkpoint {name}: the engine told log-probabilities of shape {serving.shape}, with "
                          f"{int((~mask.any(axis=-1)).sum())} positions missing or not finite; expected {training.shape}")
    return serving[mask], training[mask]


def _rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))
