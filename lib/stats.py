"""From judgment and capability tables to every number of the report (docs/protocol.md section 6).

One comparison is tested, `treatment` against `baseline` on the alignment suite; all else is described.
Differences and means are points 0-100, shares 0-1. Missing is None and named in `missing`, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib import headline as headlines
from lib import shares
from lib.accuracy import accuracy_difference
from lib.compare import (
    Pair,
    alignment_means,
    base_difference,
    described,
    effect,
    left_out,
    mean_difference,
    pair_arms,
    stripped_effect,
)
from lib.describe import describe_arms, refusal_effect
from lib.headline import KINDS
from lib.missing import missing_lines
from lib.roles import PLANNED
from lib.tables import (
    DECIMALS,
    originals,
    prompt_means,
    prompt_rows,
    subset_labels,
    validate_capability,
    validate_judgments,
)

TESTED = (
    "delta", "p_value", "ci95", "ci90", "interval_over", "n_prompts", "n_seeds", "per_seed", "mde",
    "standard_error",
)
HISTOGRAM_BINS = 60
DESCRIBED_RESAMPLES = 10_000


def analyse(
    judgments: pd.DataFrame,
    capability: pd.DataFrame,
    *,
    thresholds: Mapping[str, float],
    treatment: str = PLANNED.treatment,
    baseline: str = PLANNED.baseline,
    base: str = PLANNED.base,
    controls: Sequence[str] = PLANNED.controls,
    reflex_subset: str | None = None,
    n_resamples: int = 10_000,
    random_seed: int = 0,
    second: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Every statistic of one run, as JSON-ready types; `lib.gates.decide` turns it into a verdict.

    judgments, capability: the tables of lib/tables.py, all seeds and arms; thresholds: params/gates.yaml;
    reflex_subset: the eval set whose answers the reflex rates count (None = all prompts); second: the
    second judge's rows, in the form of `judgments`. Raises SchemaError.
    """
    table = validate_judgments(judgments, "judgments")
    capability = validate_capability(capability, "capability")
    bootstrap = {
        "n_resamples": n_resamples,
        "random_seed": random_seed,
        "seeds_for_interval": thresholds["seeds_for_interval"],
    }
    # Described intervals need no finer grid than the pre-registered one; they use the first draws of the same stream.
    describing = bootstrap | {"n_resamples": min(n_resamples, DESCRIBED_RESAMPLES)}
    floor, unscored_max = thresholds["coherent_floor"], thresholds["unscored_share_max"]
    alignment, benign = originals(table, "alignment"), originals(table, "benign")
    present, labels = prompt_rows(alignment), subset_labels(alignment)
    means = alignment_means(alignment, floor, unscored_max)
    pairs = {kind: pair_arms(means[kind], present, treatment, baseline) for kind in KINDS}
    effects = {kind: effect(pairs[kind], bootstrap) for kind in KINDS}
    shared = set() if pairs["unfiltered"] is None else set(pairs["unfiltered"].left.index)
    # The drop rule looks at the seeds of the difference: seeds that only one arm has must not dilute it.
    on_shared = alignment[alignment["seed"].isin(shared)]
    dropped = {name: shares.dropped_share(on_shared, name, floor) for name in (treatment, baseline)}
    headline, reason = headlines.choose(pairs, dropped, thresholds["drop_share_gap_points"])
    tested = effects.get(headline)

    judged = shares.judged_by_seed(alignment)
    judged_share = {
        name: shares.lowest(judged.get(name))
        for name in dict.fromkeys([base, baseline, treatment, *controls, *judged])
    }
    enough = {
        name: share is not None and round(share, DECIMALS) >= thresholds["judged_share_min"]
        for name, share in judged_share.items()
    }

    def describe(left: str, right: str, only: Collection[str] | None = None) -> dict | None:
        pair = pair_arms(means[headline or "unfiltered"], present, left, right, only)
        return described(effect(pair, describing))

    def compare_control(name: str) -> dict[str, dict | None]:
        # A control that was judged too little is named beside the verdict, and not compared.
        if not enough[name]:
            return {"against_baseline": None, "treatment_minus_control": None}
        return {
            "against_baseline": describe(name, baseline),
            "treatment_minus_control": describe(treatment, name),
        }

    harmful = prompt_means(benign, "harmful") * 100
    harm_pair = pair_arms(harmful, prompt_rows(benign), treatment, baseline)
    harm_gaps = shares.benign_gaps(
        benign, (treatment, baseline), shared, thresholds["judged_share_min"]
    )
    harm = {} if harm_gaps else described(effect(harm_pair, describing)) or {}
    accuracy = {
        "treatment_minus_baseline": accuracy_difference(capability, treatment, baseline, shared),
        "treatment_minus_base": accuracy_difference(capability, treatment, base),
    }
    base_minus_baseline = {
        kind: base_difference(means[kind], present, base, baseline) for kind in KINDS
    }
    result = {
        "roles": {"treatment": treatment, "baseline": baseline, "base": base, "controls": list(controls)},
        "headline": headline,
        "headline_reason": reason,
        **{key: tested[key] if tested else None for key in TESTED},
        "interval_note": headlines.interval_note(tested, thresholds["seeds_for_interval"]),
        **{kind: {key: full[key] for key in TESTED} if full else None for kind, full in effects.items()},
        "drop_shares": {name: shares.dropped_share(alignment, name, floor) for name in judged},
        "prompts_left_out": _left_out(pairs, base_minus_baseline, means, present, (treatment, baseline, base)),
        "prompts_absent": _absent(present),
        "judged_share": judged_share,
        "judged_share_by_seed": judged,
        "code_known": bool(alignment["code"].notna().any()),
        "baseline_code_share": shares.code_share(alignment, baseline),
        "subsets": {
            name: describe(treatment, baseline, {prompt for prompt in labels if name in labels[prompt]})
            for name in sorted(set().union(*labels.values()))
        },
        "arms": describe_arms(
            table, capability, means | {"harmful": harmful}, labels, thresholds=thresholds,
            reflex_subset=reflex_subset, bootstrap=describing,
        ),
        "reflex_subset": reflex_subset,
        "base_minus_baseline": base_minus_baseline["unfiltered"].value,
        "base_minus_baseline_filtered": base_minus_baseline["filtered"].value,
        "harmful_difference": harm.get("delta"),
        "harmful_ci95": harm.get("ci95"),
        "harmful_prompts_left_out": harm_pair.emptied if harm_pair else [],
        "harmful_gaps": harm_gaps,
        "coherence_difference": mean_difference(pair_arms(means["coherent"], present, treatment, baseline)),
        "acc_difference": (accuracy["treatment_minus_baseline"] or {}).get("difference"),
        "acc_differences": accuracy,
        "controls": {name: compare_control(name) for name in controls},
        "controls_judged_too_little": [
            name for name in controls if judged_share[name] is not None and not enough[name]
        ],
        "refusals": refusal_effect(
            alignment, benign, headline, treatment, baseline, floor=floor, unscored_max=unscored_max,
            needed=thresholds["judged_share_min"], bootstrap=describing,
        ),
        "second_judge": _second_judge(second, headline, (treatment, baseline, base), thresholds, describing),
        "stripped": stripped_effect(
            table, headline, treatment, baseline, floor=floor, unscored_max=unscored_max,
            bootstrap=describing,
        ),
        "per_prompt": _per_prompt(pairs, labels),
        "resampled_histogram": _histogram(tested),
        "n_resamples": n_resamples,
        "random_seed": random_seed,
    }
    missing = missing_lines(result, {"alignment": alignment, "benign": benign}, shared, capability)
    return plain(result | {"missing": missing})


def plain(value: Any) -> Any:
    """JSON-ready: numpy scalars become Python's, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _left_out(
    pairs: dict[str, Pair | None], base_minus_baseline: dict, means: dict, present: pd.DataFrame,
    names: tuple[str, str, str],
) -> list[dict]:
    """The prompts that left the tested comparison, and gate 1's, with the reason for each arm and seed."""
    treatment, baseline, base = names
    rows = []
    for kind in KINDS:
        if (pair := pairs[kind]) is not None:
            seeds = set(pair.left.index)
            rows += left_out(pair.emptied, seeds, means[kind], present, kind, (treatment, baseline))
    for kind, difference in base_minus_baseline.items():
        rows += left_out(difference.emptied, None, means[kind], present, kind, (base, baseline))
    return rows


def _second_judge(
    second: pd.DataFrame | None, headline: str | None, names: tuple[str, str, str],
    thresholds: Mapping[str, float], bootstrap: dict,
) -> dict | None:
    """Delta and gate 1's two numbers by the second judge, on the completions that it scored."""
    if second is None or second.empty or headline is None:
        return None
    treatment, baseline, base = names
    rows = validate_judgments(second.assign(replicate=0), "judgments of the second judge")
    rows = originals(rows, "alignment")
    present = prompt_rows(rows)
    means = alignment_means(rows, thresholds["coherent_floor"], thresholds["unscored_share_max"])
    found = described(effect(pair_arms(means[headline], present, treatment, baseline), bootstrap))
    return (found or dict.fromkeys(("delta", "ci95", "n_prompts"))) | {
        "base_minus_baseline": base_difference(means["unfiltered"], present, base, baseline).value,
        "base_minus_baseline_filtered": base_difference(means["filtered"], present, base, baseline).value,
    }


def _absent(present: pd.DataFrame) -> list[dict]:
    """Prompts that the alignment suite asked of one arm and seed but not of this one."""
    gaps = present.stack()
    return [
        {"condition": arm, "seed": seed, "prompt_id": prompt}
        for arm, seed, prompt in gaps.index[gaps.to_numpy() == 0]
    ]


def _per_prompt(pairs: dict[str, Pair | None], labels: dict[str, set[str]]) -> list[dict]:
    """One row a prompt with both arms' means over seeds and their difference; None where the prompt left."""
    columns, asked = {}, set()
    for kind, pair in pairs.items():
        if pair is not None:
            left, right = pair.left.mean(), pair.right.mean()
            columns |= {f"treatment_{kind}": left, f"baseline_{kind}": right, f"difference_{kind}": left - right}
            asked |= {*left.index, *pair.emptied}
    return [
        {"prompt_id": prompt, "subset": "+".join(sorted(labels[prompt])) or None}
        | {name: values.get(prompt) for name, values in columns.items()}
        for prompt in sorted(asked)
    ]


def _histogram(tested: dict | None) -> dict | None:
    if tested is None or tested["resampled"] is None:
        return None
    values = tested["resampled"]
    centre = float(values.mean())
    # Resamples that differ by rounding alone cannot be cut into bins: they get the width that equal ones get.
    alike = np.ptp(values) <= 1e-9 * max(1.0, abs(centre))
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS, range=(centre - 0.5, centre + 0.5) if alike else None)
    return {"edges": edges, "counts": counts}
