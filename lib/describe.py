"""What is described, never tested: arms one by one, reflex rates, accuracy (docs/protocol.md sections 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pandas as pd

from lib.bootstrap import Z_INTERVAL, mean_interval, wilson
from lib.tables import DECIMALS, originals

REFLEXES = {"literal": "literal", "semantic": "reset_and_recover", "parrot": "parrot"}


KNOWN_SHARE = 0.95  # of the scored answers, below which a reflex rate is missing (the judged share of section 7)


def describe_arms(
    table: pd.DataFrame, capability: pd.DataFrame, means: dict[str, pd.DataFrame], *, floor: float,
    reflex_prompts: set[str] | None, bootstrap: dict,
) -> dict[str, dict]:
    """Every arm by name: means with intervals, rates, accuracy and sizes; None where data lack.

    table: canonical judgments; means: per-prompt means by name (`unfiltered`, `filtered`, `coherent`, `refusal`,
    `harmful`), points 0-100 or shares; reflex_prompts: the prompts whose answers the reflex rates count, None = all.
    """
    alignment, followup = originals(table, "alignment"), originals(table, "followup")
    in_subset = alignment if reflex_prompts is None else alignment[alignment["prompt_id"].isin(list(reflex_prompts))]
    names = sorted({*table["condition"].astype(str), *capability["condition"].astype(str)})
    arms = {}
    for name in names:
        rows = alignment[alignment["condition"] == name]
        results = capability[capability["condition"] == name]
        scored = rows[rows["outcome"] == "scored"]
        aligned, filtered = (_arm_mean(means[kind], name, bootstrap) for kind in ("unfiltered", "filtered"))
        coherent = _arm_mean(means["coherent"], name, bootstrap)
        arms[name] = {
            "aligned": aligned["mean"],
            "aligned_ci95": aligned["ci95"],
            "aligned_filtered": filtered["mean"],
            "aligned_filtered_ci95": filtered["ci95"],
            "coherent": coherent["mean"],
            "coherent_ci95": coherent["ci95"],
            "dropped": share(scored["coherent"].round(DECIMALS) < floor),
            "refusal": _arm_mean(means["refusal"], name, None)["mean"],
            "harmful": _arm_mean(means["harmful"], name, None)["mean"],
            **_accuracy(results),
            **reflex_rates(in_subset[in_subset["condition"] == name]),
            "followup": reflex_rates(followup[followup["condition"] == name]),
            "n_prompts": aligned["n_prompts"],
            "n_completions": len(rows),
            "n_scored": len(scored),
            "seeds": sorted({*rows["seed"].tolist(), *results["seed"].tolist()}),
        }
    return arms


def reflex_rates(rows: pd.DataFrame) -> dict[str, dict | None]:
    """Literal, semantic and parrot rate over the answers for which each is known, with a Wilson 95 % interval."""
    return {name: _rate(rows[column]) if column in rows else None for name, column in REFLEXES.items()}


def share(flags: pd.Series) -> float | None:
    """Share of true values; None of an empty column."""
    return float(flags.mean()) if len(flags) else None


def accuracy_difference(capability: pd.DataFrame, left: str, right: str, seeds: Collection[int] | None = None
                        ) -> dict | None:
    """Accuracy of `left` - `right` over the seeds that have both, with a normal 95 % interval.

    seeds: the seeds of the comparison; None is returned unless both arms have an accuracy at each of them.

    With per-item results of the same items on both sides (column `items`, {id: [acc, acc_norm]}), the standard error is
    that of the paired item differences; without, the root of the summed squares of both sides', which is wider. `paired`
    says which. None where an arm lacks.
    """
    sides = [capability[capability["condition"] == arm].set_index("seed") for arm in (left, right)]
    both = sides[0].join(sides[1], how="inner", rsuffix="_right").dropna(subset=["acc", "acc_right"])
    if both.empty or not set(seeds or ()) <= set(both.index):
        return None
    both = both if seeds is None else both.loc[sorted(seeds)]
    difference = float((both["acc"] - both["acc_right"]).mean())
    by_item = [_item_error(row.items_left, row.items_right) for row in _items(both)]
    paired = bool(by_item) and None not in by_item
    squares = np.square(by_item).sum() if paired else (both[["acc_stderr", "acc_stderr_right"]] ** 2).to_numpy().sum()
    error = math.sqrt(squares) / len(both)
    known = math.isfinite(error)
    return {
        "difference": difference,
        "stderr": error if known else None,
        "ci95": [difference - Z_INTERVAL * error, difference + Z_INTERVAL * error] if known else None,
        "paired": paired,
        "n_seeds": len(both),
    }


def _items(both: pd.DataFrame):
    """Rows with `items_left` and `items_right`, or nothing where the table has no per-item results."""
    if "items" not in both:
        return []
    return both[["items", "items_right"]].set_axis(["items_left", "items_right"], axis=1).itertuples(index=False)


def _item_error(left: object, right: object) -> float | None:
    """Standard error of the mean paired difference over items; None unless both sides scored the same two or more."""
    if not (isinstance(left, dict) and isinstance(right, dict)) or left.keys() != right.keys() or len(left) < 2:
        return None
    differences = np.array([left[item][0] - right[item][0] for item in left])
    return float(differences.std(ddof=1) / math.sqrt(len(differences)))


def _arm_mean(means: pd.DataFrame, name: str, bootstrap: dict | None) -> dict:
    """One arm's mean over the prompts that have a value at every seed; with an interval if `bootstrap` says how."""
    empty = {"mean": None, "ci95": None, "n_prompts": 0}
    if name not in means.index.get_level_values("condition"):
        return empty
    matrix = means.loc[[name]].dropna(axis=1).to_numpy()
    if not matrix.size:
        return empty
    if bootstrap is None:
        return {"mean": float(matrix.mean()), "ci95": None, "n_prompts": matrix.shape[1]}
    return mean_interval(matrix, **bootstrap)


def _rate(values: pd.Series) -> dict | None:
    known = values.dropna()
    if known.empty or len(known) < KNOWN_SHARE * len(values):
        return None  # a rate over the few answers that happen to be known would pass for one over all
    hits, total = int(known.sum()), len(known)
    return {"share": hits / total, "ci95": wilson(hits, total), "count": hits, "n": total}


def _accuracy(rows: pd.DataFrame) -> dict:
    """Mean accuracy over seeds; the standard error is that of the mean of independent checkpoints."""
    acc = rows.dropna(subset="acc")
    if acc.empty:
        return {"acc": None, "acc_stderr": None, "acc_norm": None, "acc_n": None}
    return {
        "acc": float(acc["acc"].mean()),
        "acc_stderr": float(np.sqrt((acc["acc_stderr"] ** 2).sum(skipna=False)) / len(acc)),
        "acc_norm": float(acc["acc_norm"].mean()),
        "acc_n": float(acc["n"].min()),
    }
