"""The comparison by other judgments: without the opening, and by a second judge."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.analysis.effects import SecondJudgeEffect, StrippedEffect
from lib.analysis.inputs import originals, prompt_rows, stripped
from lib.analysis.pairs import base_difference, effect, pair_arms
from lib.analysis.plain import by_name
from lib.analysis.study import Study
from lib.analysis.validation import validate_judgments

ANSWER = ["condition", "seed", "prompt_id", "sample_index"]


def stripped_effect(study: Study, headline: str | None) -> StrippedEffect | None:
    """Delta when the treatment's answers are judged without their opening.

    headline: "filtered" or "unfiltered".

    Returns None without a headline. Also None if nothing was judged again, unless it is known that
    no answer has an opening.
    """
    treatment = study.roles.treatment
    baseline = study.roles.baseline
    alignment = study.alignment
    alignment = alignment[alignment["condition"].isin([treatment, baseline])]
    again = _stripped_rows(study)
    answers = pd.MultiIndex.from_frame(alignment[ANSWER])
    replaced = answers.isin(pd.MultiIndex.from_frame(again[ANSWER]))
    lacking = _not_judged_again(alignment, treatment, replaced)
    if headline is None or (again.empty and lacking != 0):
        return None
    # A stripped judgment replaces the full one even if it is not scored, because the opening may
    # have persuaded the judge in the full one.
    judged = pd.concat([alignment[~replaced], again]) if len(again) else alignment
    means = study.means_of(judged)[headline]
    delta = effect(pair_arms(means, prompt_rows(judged), treatment, baseline), study.describing)
    if delta is None:
        return None
    scored = None
    if len(again):
        by_seed = (again["outcome"] == "scored").groupby(again["seed"]).mean()
        scored = float(by_seed.min())
    return StrippedEffect(
        **by_name(delta),
        n_replaced=int(replaced.sum()),
        n_lacking=lacking,
        scored_share=scored,
    )


def _not_judged_again(alignment: pd.DataFrame, treatment: str, replaced: np.ndarray) -> int | None:
    """How many of the treatment's answers have an opening but no judgment without it.

    replaced: which rows have such a judgment. None: not known which answers have an opening.
    """
    if "literal" not in alignment:
        return None
    literal = alignment["literal"].where(alignment["condition"] == treatment, 0.0)
    return None if literal.isna().any() else int(((literal == 1) & ~replaced).sum())


def _stripped_rows(study: Study) -> pd.DataFrame:
    """The treatment's alignment answers as the first judge scored them without their opening."""
    rows = stripped(study.judgments, "alignment")
    return rows[rows["condition"] == study.roles.treatment]


def second_judge_effect(
    study: Study, second: pd.DataFrame | None, headline: str | None
) -> SecondJudgeEffect | None:
    """Delta and gate 1's two numbers by the second judge, on the completions that it scored.

    second: its rows, in the form of a judgments table.

    Returns None without such rows, and without a headline.
    """
    if second is None or second.empty or headline is None:
        return None
    roles = study.roles
    rows = validate_judgments(second.assign(replicate=0), "judgments of the second judge")
    rows = originals(rows, "alignment")
    asked = prompt_rows(rows)
    means = study.means_of(rows)
    gate_one = {
        kind: base_difference(means[kind], asked, roles.base, roles.baseline).value
        for kind in ("unfiltered", "filtered")
    }
    pair = pair_arms(means[headline], asked, roles.treatment, roles.baseline)
    return SecondJudgeEffect(
        effect=effect(pair, study.describing),
        base_minus_baseline=gate_one["unfiltered"],
        base_minus_baseline_filtered=gate_one["filtered"],
    )
