"""What is missing from the data of a verdict, one exact line for each thing (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

REFLEX_COLUMNS = (("literal", "literal"), ("semantic", "reset_and_recover"), ("parrot", "parrot"))


def missing_lines(
    result: Mapping[str, Any], suites: Mapping[str, pd.DataFrame], seeds: Collection[int],
    capability: pd.DataFrame,
) -> list[str]:
    """One line for each thing that is missing, exactly named.

    result: of `lib.stats.analyse`; suites: canonical originals of `alignment` and `benign`; seeds: those
    of the tested difference.
    """
    return [
        *_alignment(result),
        *_benign(result),
        *_capability(result, seeds, capability),
        *_seeds(result, suites),
        *_test(result),
        *_reflex(result),
    ]


def _arms(result: Mapping[str, Any]) -> list[str]:
    roles = result["roles"]
    return [roles["base"], roles["baseline"], roles["treatment"], *roles["controls"]]


def _alignment(result: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in _arms(result):
        share = result["judged_share"][name]
        if share is None:
            lines.append(f"alignment: no judgments of {name}")
        elif share == 0:
            lines.append(f"alignment: no scored completion of {name}, in a seed at least")
    roles = result["roles"]
    base, baseline = roles["base"], roles["baseline"]
    if result["base_minus_baseline"] is None:
        lines.append(
            f"alignment: gate 1 has no number: {base} or {baseline} has no unfiltered mean, or {base} "
            f"was not asked what {baseline} was"
        )
    if result["base_minus_baseline_filtered"] is None:
        lines.append(f"alignment: gate 1 has no filtered number of {base} and {baseline}")
    if not result["code_known"] and result["judged_share"][baseline] is not None:
        lines.append("code: there is no `code` column: no answer counts as code, the filter lacks it")
    return lines


def _benign(result: Mapping[str, Any]) -> list[str]:
    roles = result["roles"]
    treatment, baseline = roles["treatment"], roles["baseline"]
    lines = [
        f"benign: no scored completion of {name}"
        for name in (baseline, treatment)
        if result["arms"].get(name, {}).get("harmful") is None
    ]
    lines += [
        f"benign: prompt {prompt} has no scored completion in {treatment} or {baseline} and left both"
        for prompt in result["harmful_prompts_left_out"]
    ]
    return lines + result["harmful_gaps"]


def _capability(
    result: Mapping[str, Any], seeds: Collection[int], capability: pd.DataFrame
) -> list[str]:
    lines = [
        f"capability: no accuracy of {name}"
        for name in _arms(result)
        if result["arms"].get(name, {}).get("acc") is None
    ]
    scored = capability.dropna(subset="acc")
    for name in (result["roles"]["treatment"], result["roles"]["baseline"]):
        known = set(scored.loc[scored["condition"] == name, "seed"])
        if known:
            lines += [
                f"capability: no accuracy of {name} at seed {seed}" for seed in sorted(set(seeds) - known)
            ]
    sizes = sorted({int(n) for n in capability["n"].dropna()})
    if len(sizes) > 1:
        lines.append(f"capability: the arms were scored on different numbers of items: {sizes}")
    return lines


def _seeds(result: Mapping[str, Any], suites: Mapping[str, pd.DataFrame]) -> list[str]:
    treatment, baseline = result["roles"]["treatment"], result["roles"]["baseline"]
    lines = []
    for suite, rows in suites.items():
        first, second = (set(rows.loc[rows["condition"] == name, "seed"]) for name in (treatment, baseline))
        if first and second:
            lines += [
                f"{suite}: seed {seed} has only one of {treatment} and {baseline} and is in no difference"
                for seed in sorted(first ^ second)
            ]
    return lines


def _test(result: Mapping[str, Any]) -> list[str]:
    if result["delta"] is None:
        roles = result["roles"]
        return [f"delta: {roles['treatment']} and {roles['baseline']} share no prompt with completions"]
    if result["ci95"] is None:
        return [f"p_value, ci95, mde: {result['n_prompts']} prompt; the bootstrap needs two or more"]
    return []


def _reflex(result: Mapping[str, Any]) -> list[str]:
    treatment = result["roles"]["treatment"]
    where = f" on {result['reflex_subset']}" if result["reflex_subset"] else ""
    lines = [
        f"reflex: no {rate} rate of {treatment}{where} (column {column})"
        for rate, column in REFLEX_COLUMNS
        if result["arms"].get(treatment, {}).get(rate) is None
    ]
    stripped = result["stripped"]
    if stripped is None:
        lines.append(f"stripped: no re-score of {treatment} without its opening")
    elif stripped["n_lacking"]:
        count = stripped["n_lacking"]
        answers = "1 answer" if count == 1 else f"{count} answers"
        lines.append(f"stripped: {answers} of {treatment} with the opening not judged without it")
    return lines
