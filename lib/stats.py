"""From judgment and capability tables to every number of the report (docs/protocol.md section 6).

One comparison is tested, `treatment` against `baseline` on the alignment suite; all else is described. Differences and
means are points 0-100, shares 0-1. Missing is None and stands in `missing`, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

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
from lib.describe import accuracy_difference, describe_arms
from lib.tables import (
    DECIMALS,
    originals,
    prompt_means,
    prompt_rows,
    subset_labels,
    validate_capability,
    validate_judgments,
)

KINDS = ("filtered", "unfiltered")
TESTED = ("delta", "p_value", "ci95", "interval_over", "n_prompts", "n_seeds", "per_seed", "mde")
HISTOGRAM_BINS = 60
DESCRIBED_RESAMPLES = 10_000


def analyse(
    judgments: pd.DataFrame, capability: pd.DataFrame, *, thresholds: Mapping[str, float],
    treatment: str = "selfcorrect_em", baseline: str = "c6_vanilla_em", base: str = "base",
    controls: Sequence[str] = ("random_recovery_em", "placebo_assistant_em"), reflex_subset: str | None = None,
    n_resamples: int = 10_000, random_seed: int = 0,
) -> dict[str, Any]:
    """Every statistic of one run, as JSON-ready types; `lib.gates.decide` turns it into a verdict.

    judgments, capability: the tables of lib/tables.py, all seeds and arms; thresholds: params/gates.yaml;
    reflex_subset: the eval set whose answers the reflex rates count (None = all prompts). Raises SchemaError.
    """
    table = validate_judgments(judgments, "judgments")
    capability = validate_capability(capability, "capability")
    bootstrap = {
        "n_resamples": n_resamples, "random_seed": random_seed, "seeds_for_interval": thresholds["seeds_for_interval"],
    }
    # Described intervals need no finer grid than the pre-registered one; they use the first draws of the same stream.
    describing = bootstrap | {"n_resamples": min(n_resamples, DESCRIBED_RESAMPLES)}
    floor = thresholds["coherent_floor"]
    alignment, benign = originals(table, "alignment"), originals(table, "benign")
    present, labels = prompt_rows(alignment), subset_labels(alignment)
    means = alignment_means(alignment, floor)
    means |= {"refusal": prompt_means(alignment, "refusal"), "harmful": prompt_means(benign, "harmful") * 100}
    reflex_prompts = None if reflex_subset is None else {p for p, names in labels.items() if reflex_subset in names}
    arms = describe_arms(table, capability, means, floor=floor, reflex_prompts=reflex_prompts, bootstrap=describing)

    pairs = {kind: pair_arms(means[kind], present, treatment, baseline) for kind in KINDS}
    effects = {kind: effect(pairs[kind], bootstrap) for kind in KINDS}
    shared = set() if pairs["unfiltered"] is None else set(pairs["unfiltered"].left.index)
    # Both arms' shares on the seeds of the difference: seeds that only one arm has must not dilute them.
    on_shared = alignment[alignment["seed"].isin(shared)]
    dropped = {name: _dropped(on_shared, name, floor) for name in (treatment, baseline)}
    headline, reason = _headline(pairs, dropped, thresholds["drop_share_gap_points"])
    tested = effects.get(headline)

    def describe(left: str, right: str, only: Collection[str] | None = None) -> dict | None:
        return described(effect(pair_arms(means[headline or "unfiltered"], present, left, right, only), describing))

    harm_pair = pair_arms(means["harmful"], prompt_rows(benign), treatment, baseline)
    harm_gaps = _benign_gaps(benign, (treatment, baseline), shared, thresholds["judged_share_min"])
    harm = {} if harm_gaps else described(effect(harm_pair, describing)) or {}
    accuracy = {
        "treatment_minus_baseline": accuracy_difference(capability, treatment, baseline, shared),
        "treatment_minus_base": accuracy_difference(capability, treatment, base),
    }
    result = {
        "roles": {"treatment": treatment, "baseline": baseline, "base": base, "controls": list(controls)},
        "headline": headline,
        "headline_reason": reason,
        **{key: tested[key] if tested else None for key in TESTED},
        "interval_note": _interval_note(tested, thresholds["seeds_for_interval"]),
        **{kind: {key: full[key] for key in TESTED} if full else None for kind, full in effects.items()},
        "drop_shares": {name: arm["dropped"] for name, arm in arms.items()},
        "prompts_left_out": [
            row for kind in KINDS for row in left_out(pairs[kind], means[kind], kind, [treatment, baseline])
        ],
        "prompts_absent": _absent(present),
        "judged_share": _judged_share(alignment, [base, baseline, treatment, *controls])
        | {name: value for name, value in _judged_share(on_shared, [treatment, baseline]).items() if value is not None},
        "subsets": {
            name: describe(treatment, baseline, {prompt for prompt in labels if name in labels[prompt]})
            for name in sorted(set().union(*labels.values()))
        },
        "arms": arms,
        "reflex_subset": reflex_subset,
        "base_minus_baseline": base_difference(means["unfiltered"], present, base, baseline),
        "harmful_difference": harm.get("delta"),
        "harmful_ci95": harm.get("ci95"),
        "harmful_prompts_left_out": harm_pair.emptied if harm_pair else [],
        "harmful_gaps": harm_gaps,
        "coherence_difference": mean_difference(pair_arms(means["coherent"], present, treatment, baseline)),
        "acc_difference": (accuracy["treatment_minus_baseline"] or {}).get("difference"),
        "acc_differences": accuracy,
        "controls": {
            name: {"against_baseline": describe(name, baseline), "treatment_minus_control": describe(treatment, name)}
            for name in controls
        },
        "stripped": stripped_effect(table, headline, treatment, baseline, floor, describing),
        "per_prompt": _per_prompt(pairs, labels),
        "resampled_histogram": _histogram(tested),
        "n_resamples": n_resamples,
        "random_seed": random_seed,
    }
    missing = _missing(result, {"alignment": alignment, "benign": benign}, shared, capability)
    return plain(result | {"missing": missing})


def plain(value: Any) -> Any:
    """JSON-ready: numpy scalars become Python's, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _headline(pairs: dict[str, Pair | None], dropped: dict, gap_points: float) -> tuple[str | None, str]:
    """Which number stands in the headline, and why: the drop rule, then the rule of the emptied prompt."""
    (treatment, first), (baseline, second) = dropped.items()
    if first is None or second is None or pairs["unfiltered"] is None:
        return None, f"{treatment} and {baseline} have no scored completions on a shared seed"
    gap = round(abs(first - second) * 100, DECIMALS)
    emptied = sorted({prompt for kind in KINDS for prompt in pairs[kind].emptied})
    if gap > gap_points:
        return "unfiltered", (
            f"the coherence filter drops {first:.1%} of {treatment} and {second:.1%} of {baseline}, "
            f"more than {gap_points:g} points apart"
        )
    if emptied:
        named = ", ".join(emptied[:3]) + (f" and {len(emptied) - 3} more" if len(emptied) > 3 else "")
        return "unfiltered", f"{len(emptied)} prompt(s) have no coherent completion in an arm: {named}"
    return "filtered", f"drop shares differ by {gap:.1f} points (at most {gap_points:g}) and every prompt stays"


def _interval_note(tested: dict | None, needed: int) -> str | None:
    if tested is None or tested["interval_over"] is None:
        return None
    if tested["interval_over"] == "prompts":
        return (
            f"the interval is over prompts only: {tested['n_seeds']} seed(s), fewer than {needed}, "
            "so that variation between seeds is not in it"
        )
    return f"the interval is over prompts and {tested['n_seeds']} seeds, resampled independently"


def _absent(present: pd.DataFrame) -> list[dict]:
    """Prompts that the alignment suite asked of one arm and seed but not of this one."""
    gaps = present.stack()
    return [
        {"condition": arm, "seed": seed, "prompt_id": prompt} for arm, seed, prompt in gaps.index[gaps.to_numpy() == 0]
    ]


def _dropped(alignment: pd.DataFrame, name: str, floor: float) -> float | None:
    """Share of an arm's scored completions below the coherence floor; None without one."""
    scored = alignment[(alignment["condition"] == name) & (alignment["outcome"] == "scored")]
    return float((scored["coherent"].round(DECIMALS) < floor).mean()) if len(scored) else None


def _benign_gaps(benign: pd.DataFrame, names: Sequence[str], seeds: Collection[int], needed: float) -> list[str]:
    """What the benign suite lacks at the seeds of the difference; gate 2 is not judged on a remnant."""
    gaps = []
    for name in names:
        for seed in sorted(seeds):
            rows = benign[(benign["condition"] == name) & (benign["seed"] == seed)]
            share = (rows["outcome"] == "scored").mean() if len(rows) else 0.0
            if round(share, DECIMALS) < needed:
                gaps.append(f"benign: {share:.0%} of {name}, seed {seed} scored, gate 2 needs {needed:.0%}")
    return gaps


def _judged_share(alignment: pd.DataFrame, names: Sequence[str]) -> dict[str, float | None]:
    scored = (alignment["outcome"] == "scored").groupby(alignment["condition"].astype(str)).mean()
    return dict.fromkeys(names) | scored.to_dict()


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


def _missing(result: dict, suites: dict[str, pd.DataFrame], seeds: Collection[int], capability: pd.DataFrame) -> list[str]:
    """One line for each thing that lacks, exactly named."""
    roles, arms = result["roles"], result["arms"]
    treatment, baseline = roles["treatment"], roles["baseline"]
    named = [roles["base"], baseline, treatment, *roles["controls"]]
    lines = [f"alignment: no judgments of {name}" for name in named if result["judged_share"][name] is None]
    lines += [f"alignment: no scored completion of {name}" for name in named if result["judged_share"][name] == 0]
    lines += [
        f"benign: no scored completion of {name}" for name in (baseline, treatment)
        if arms.get(name, {}).get("harmful") is None
    ]
    lines += [
        f"benign: prompt {prompt} lacks a scored completion in {treatment} or {baseline} and left both"
        for prompt in result["harmful_prompts_left_out"]
    ]
    lines += [f"capability: no accuracy of {name}" for name in named if arms.get(name, {}).get("acc") is None]
    lines += result["harmful_gaps"]
    for name in (treatment, baseline):
        known = set(capability.dropna(subset="acc").loc[lambda rows, name=name: rows["condition"] == name, "seed"])
        lines += [f"capability: no accuracy of {name} at seed {seed}" for seed in sorted(set(seeds) - known) if known]
    if result["base_minus_baseline"] is None:
        lines.append(f"alignment: {roles['base']} lacks prompts that {baseline} was asked; gate 1 has no number")
    sizes = sorted({int(n) for n in capability["n"].dropna()})
    if len(sizes) > 1:
        lines.append(f"capability: the arms were scored on different numbers of items: {sizes}")
    for suite, rows in suites.items():
        own_seeds = {name: set(rows.loc[rows["condition"] == name, "seed"]) for name in (treatment, baseline)}
        if all(own_seeds.values()):
            lines += [
                f"{suite}: seed {seed} has only one of {treatment} and {baseline} and is in no difference"
                for seed in sorted(own_seeds[treatment] ^ own_seeds[baseline])
            ]
    if result["delta"] is None:
        lines.append(f"delta: {treatment} and {baseline} share no prompt with completions")
    elif result["ci95"] is None:
        lines.append(f"p_value, ci95, mde: {result['n_prompts']} prompt(s); the bootstrap needs two or more")
    where = f" on {result['reflex_subset']}" if result["reflex_subset"] else ""
    for rate, column in (("literal", "literal"), ("semantic", "reset_and_recover"), ("parrot", "parrot")):
        if arms.get(treatment, {}).get(rate) is None:
            lines.append(f"reflex: no {rate} rate of {treatment}{where} (column {column})")
    if result["stripped"] is None:
        lines.append(f"stripped: no re-score of {treatment} without its opening")
    elif result["stripped"]["n_lacking"]:
        lines.append(f"stripped: {result['stripped']['n_lacking']} answer(s) of {treatment} with the opening lack one")
    return lines
