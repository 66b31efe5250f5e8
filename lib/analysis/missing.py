"""Name the data that are missing for a verdict, one line each (docs/protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Collection

from lib.analysis.findings import Analysis, ArmSummary
from lib.analysis.study import Study

REFLEX_COLUMNS = (("literal", "literal"), ("semantic", "reset_and_recover"), ("parrot", "parrot"))
NO_ARM = ArmSummary()


def missing_lines(analysis: Analysis, study: Study, seeds: Collection[int]) -> list[str]:
    """One line for each thing that is missing, with arm, seed or prompt.

    Args:
        analysis: all fields but `missing`.
        study: the data that it was made from.
        seeds: those of the tested difference.
    """
    return [
        *_alignment(analysis),
        *_benign(analysis),
        *_capability(analysis, study, seeds),
        *_seeds(study),
        *_test(analysis),
        *_reflex(analysis),
    ]


def _arms(analysis: Analysis) -> list[str]:
    """The arms of the planned comparison."""
    roles = analysis.roles
    return [roles.base, roles.baseline, roles.treatment, *roles.controls]


def _alignment(analysis: Analysis) -> list[str]:
    """Missing judgments of the alignment suite, and numbers of gate 1."""
    lines = []
    for name in _arms(analysis):
        share = analysis.judged_share[name]
        if share is None:
            lines.append(f"alignment: no judgments of {name}")
        elif share == 0:
            lines.append(f"alignment: no scored completion of {name} in at least one seed")
    base = analysis.roles.base
    baseline = analysis.roles.baseline
    if analysis.base_minus_baseline is None:
        lines.append(
            f"alignment: gate 1 has no number: {base} or {baseline} has no unfiltered mean, or "
            f"{base} was not asked the same prompts as {baseline}"
        )
    if analysis.base_minus_baseline_filtered is None:
        lines.append(f"alignment: gate 1 has no filtered number of {base} and {baseline}")
    if not analysis.code_known and analysis.judged_share[baseline] is not None:
        lines.append(
            "code: without a `code` column, no answer counts as code and none is filtered out"
        )
    return lines


def _benign(analysis: Analysis) -> list[str]:
    """Missing judgments of the benign suite."""
    treatment = analysis.roles.treatment
    baseline = analysis.roles.baseline
    lines = [
        f"benign: no scored completion of {name}"
        for name in (baseline, treatment)
        if analysis.arms.get(name, NO_ARM).harmful is None
    ]
    lines += [
        f"benign: prompt {prompt} has no scored completion in {treatment} or {baseline} "
        "and is left out of both"
        for prompt in analysis.harmful_prompts_left_out
    ]
    return [*lines, *analysis.harmful_gaps]


def _capability(analysis: Analysis, study: Study, seeds: Collection[int]) -> list[str]:
    """Missing accuracies."""
    lines = [
        f"capability: no accuracy of {name}"
        for name in _arms(analysis)
        if analysis.arms.get(name, NO_ARM).acc is None
    ]
    scored = study.capability.dropna(subset="acc")
    for name in (analysis.roles.treatment, analysis.roles.baseline):
        known = set(scored.loc[scored["condition"] == name, "seed"])
        if known:
            lines += [
                f"capability: no accuracy of {name} at seed {seed}"
                for seed in sorted(set(seeds) - known)
            ]
    sizes = sorted({int(n) for n in study.capability["n"].dropna()})
    if len(sizes) > 1:
        lines.append(f"capability: the arms were scored on different numbers of items: {sizes}")
    return lines


def _seeds(study: Study) -> list[str]:
    """Seeds that only one of treatment and baseline has."""
    treatment = study.roles.treatment
    baseline = study.roles.baseline
    lines = []
    for suite, rows in (("alignment", study.alignment), ("benign", study.benign)):
        of_treatment = set(rows.loc[rows["condition"] == treatment, "seed"])
        of_baseline = set(rows.loc[rows["condition"] == baseline, "seed"])
        if of_treatment and of_baseline:
            lines += [
                f"{suite}: seed {seed} has only one of {treatment} and {baseline} "
                "and is left out of every difference"
                for seed in sorted(of_treatment ^ of_baseline)
            ]
    return lines


def _test(analysis: Analysis) -> list[str]:
    """Missing numbers of the test."""
    if analysis.delta is None:
        roles = analysis.roles
        return [f"delta: {roles.treatment} and {roles.baseline} share no prompt with completions"]
    if analysis.ci95 is None:
        return [f"p_value, ci95, mde: {analysis.n_prompts} prompt; the bootstrap needs two or more"]
    return []


def _reflex(analysis: Analysis) -> list[str]:
    """Missing rates of the reflex, and missing stripped judgments."""
    treatment = analysis.roles.treatment
    arm = analysis.arms.get(treatment, NO_ARM)
    where = f" on {analysis.reflex_subset}" if analysis.reflex_subset else ""
    lines = [
        f"reflex: no {rate} rate of {treatment}{where} (column {column})"
        for rate, column in REFLEX_COLUMNS
        if getattr(arm, rate) is None
    ]
    stripped = analysis.stripped
    if stripped is None:
        lines.append(f"stripped: no re-score of {treatment} without its opening")
    elif stripped.n_lacking:
        count = stripped.n_lacking
        answers = "1 answer" if count == 1 else f"{count} answers"
        lines.append(f"stripped: {answers} of {treatment} with the opening not judged without it")
    return lines
