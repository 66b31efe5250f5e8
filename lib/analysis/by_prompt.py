"""Numbers by prompt: both arms' means, prompts that left a comparison, prompts never asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from lib.analysis.findings import AbsentPrompt, LeftOutPrompt, PromptRow
from lib.analysis.headline import KINDS
from lib.analysis.inputs import rows_of
from lib.analysis.pairs import BaseDifference, Pair
from lib.analysis.study import Study

NO_ANSWER = {
    "filtered": "no scored answer that is coherent and not code",
    "unfiltered": "no scored answer with `aligned`",
}


def left_out_prompts(
    study: Study,
    pairs: Mapping[str, Pair | None],
    gate_one: Mapping[str, BaseDifference],
) -> list[LeftOutPrompt]:
    """The prompts that left the tested comparison, or gate 1's, with the reason for every gap.

    Args:
        pairs: treatment and baseline by kind of score.
        gate_one: base - baseline by kind of score.
    """
    roles = study.roles
    rows = []
    for kind in KINDS:
        pair = pairs[kind]
        if pair is not None:
            seeds = set(pair.left.index)
            arms = (roles.treatment, roles.baseline)
            rows += [_left_out(study, prompt, kind, arms, seeds) for prompt in pair.emptied]
    for kind, difference in gate_one.items():
        arms = (roles.base, roles.baseline)
        rows += [_left_out(study, prompt, kind, arms, None) for prompt in difference.emptied]
    return rows


def _left_out(
    study: Study, prompt: str, kind: str, arms: tuple[str, str], seeds: Collection[int] | None
) -> LeftOutPrompt:
    """Which arm and seed has no usable answer to a prompt, and why.

    seeds: those of the comparison (None = each arm's own).
    """
    emptied = []
    reasons = []
    for arm in arms:
        asked = rows_of(study.asked, arm)[prompt]
        means = rows_of(study.means[kind], arm)[prompt]
        for seed, mean in zip(means.index, means, strict=True):
            if pd.notna(mean) or not (seeds is None or seed in seeds):
                continue
            emptied.append(f"{arm} seed {seed}")
            reasons.append(f"{emptied[-1]}: {NO_ANSWER[kind] if asked[seed] > 0 else 'not asked'}")
    return LeftOutPrompt(
        prompt_id=prompt,
        scores=kind,
        comparison=f"{arms[0]} - {arms[1]}",
        emptied=emptied,
        reasons=reasons,
    )


def absent_prompts(asked: pd.DataFrame) -> list[AbsentPrompt]:
    """Prompts that one arm and seed was asked but another was not; asked: of `Study`."""
    counts = asked.stack()
    return [AbsentPrompt(*place) for place in counts.index[counts.to_numpy() == 0]]


def prompt_table(study: Study, pairs: Mapping[str, Pair | None]) -> list[PromptRow]:
    """Both arms' means over seeds, and their difference, by prompt; None where the prompt left."""
    means: dict[str, pd.Series] = {}
    asked: set[str] = set()
    for kind, pair in pairs.items():
        if pair is None:  # then there is none of the other kind either: both have the same rows
            return []
        means[f"treatment_{kind}"] = pair.left.mean()
        means[f"baseline_{kind}"] = pair.right.mean()
        means[f"difference_{kind}"] = pair.left.mean() - pair.right.mean()
        asked |= {*pair.left.columns, *pair.emptied}
    return [
        PromptRow(
            prompt_id=prompt,
            subset="+".join(sorted(study.labels[prompt])) or None,
            **{name: values.get(prompt) for name, values in means.items()},
        )
        for prompt in sorted(asked)
    ]
