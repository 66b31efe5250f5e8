"""Folders of the published schema to tables, and what the report says around the verdict (notebook 06)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.analysis.effects import StrippedEffect
from lib.analysis.gates import headline_notes
from lib.analysis.reading import (  # noqa: F401 (the notebooks' one address for what stands around the verdict)
    PLANNED,
    alike_prompts,
    check_arms,
    check_source,
    judges,
    read_capability,
    read_judgments,
    scale_notes,
    target,
)
from lib.checks.recorded import NOT_RUN, Check
from lib.config.schema import Profile
from lib.data.reflex import add_reflex_columns
from lib.display import show
from lib.judge.session import read_samples
from lib.judge.store import ledger
from lib.report.result_tables import (  # noqa: F401 (the same)
    arm_order,
    arm_table,
    intervals_over,
    kinds_table,
    prompt_by_condition,
    subset_table,
)
from lib.run import runs
from lib.run.runs import Run, read_json

if TYPE_CHECKING:  # lib.report.result reads this module
    from lib.report.result import RunResult

JOIN = ["seed", "condition", "suite", "prompt_id", "sample_index"]


def with_reflex(
    table: pd.DataFrame, run: Run, profile: Profile, openings: Sequence[str]
) -> pd.DataFrame:
    """Judgments with `literal` and `parrot`, read off the completions, on full-text rows; missing on stripped ones."""
    samples = read_samples(run, profile)[[*JOIN, "completion"]]
    joined = table.merge(samples, on=JOIN, how="left", validate="many_to_one")
    joined.loc[joined["variant"] != "full", "completion"] = None
    return add_reflex_columns(joined, openings).drop(columns="completion")


def second_judgments(run: Run, judge: Mapping | None) -> pd.DataFrame | None:
    """The second judge's rows with seed and condition, where they belong to this session; else None."""
    if not judge or not judge.get("second"):
        return None
    paths = sorted((run.dir / "judgments_second").glob("seed*/*.parquet"))
    frames = [
        pd.read_parquet(path).assign(
            seed=int(path.parent.name.removeprefix("seed")), condition=path.stem
        )
        for path in paths
    ]
    return pd.concat(frames, ignore_index=True) if frames else None


def reflex_subset(table: pd.DataFrame, profile: Profile, elsewhere: bool) -> str | None:
    """The eval set on which the reflex rates count: the first of the profile, Betley-8 elsewhere; None = all prompts."""
    name = "betley_8" if elsewhere else profile.data.eval_sets[0]
    known = {
        part for subset in table["subset"].dropna().unique() for part in str(subset).split("+")
    }
    return name if name in known else None


def judge_facts(run: Run) -> dict:
    """What notebook 05 recorded: judge, rubric, calls, cost, retest; `validity` of this very judge; `second` judge; and the
    `ledger` of all stages that judged.

    Validity of another judge, or a second judge beside other judgments, is left over from before and does not show.
    """
    folder = run.dir / "manifests"
    session = read_json(folder / "05_judge.json")
    facts = {**session["facts"], "ledger": ledger(run.judge_store("session").parent)}
    validity, second = (
        read_json(path)["facts"] if (path := folder / f"{name}.json").exists() else {}
        for name in ("05_validity", "05_second_judge")
    )
    of_this = [validity.get(key) for key in ("judge", "rubric")] == [
        facts["judge"],
        facts["rubric"],
    ]
    facts["validity"] = (
        validity["validity"]
        if of_this
        else {
            "auroc": None,
            "source": None,
            "measures": {},
            "outcomes": {},
            "figure": None,
            "again": None,
            "statement": "Not measured: notebook 05 has no record of this judge's validity.",
        }
    )
    facts["second"] = second if second.get("session") == session["fingerprint"] else None
    return facts


def judge_line(
    judge: Mapping | None, stripped: StrippedEffect | None, by_suite: Sequence[Mapping] = ()
) -> str:
    """One line beside the verdict: what is known of the judge. What was not measured is said to be so.

    by_suite: suite, judge and rubric of judgments from elsewhere, of `judges`.
    """
    if judge is None:
        named = ", ".join(
            f"{row['suite']} by {row['judge']} (rubric {row['rubric']})" for row in by_suite
        )
        return "Judge: judgments from elsewhere; its validity was not measured here." + (
            f" Judged: {named}." if named else ""
        )
    measures, retest, second = judge["validity"]["measures"], judge["retest"], judge.get("second")

    def known(label: str, entry: Mapping | None, form: str = ".3f") -> str:
        if not entry or entry["value"] is None:
            return f"{label} not measured"
        low_high = f" ({show.interval(entry['ci95'], form)})" if entry["ci95"] else ""
        return f"{label} {entry['value']:{form}}{low_high}, n {entry['n']}"

    moved = retest["mean_absolute_difference"]
    unmoved = (
        ""
        if moved
        else " (it computes its scores)"
        if judge.get("computes")
        else " (no score moved)"
    )
    parts = [
        known("AUROC for aligned < 30", measures.get("auroc_aligned_lt_30")),
        known("rank correlation", measures.get("spearman_aligned")),
        known("refusal F1", measures.get("refusal_f1")),
        known("coherence AUROC", measures.get("coherence_auroc")),
        "test–retest off"
        if moved is None
        else f"test–retest moves a score by {moved:.2f} points{unmoved}, n {retest['pairs']}",
        known(f"Krippendorff's α with {second['judge']}", second["alpha"])
        if second
        else "no second judge",
        "no stripped re-score"
        if not stripped
        else f"Δ with the opening stripped {stripped.delta:+.2f} ({show.interval(stripped.ci95)})",
    ]
    return f"Judge {judge['judge']}: {'; '.join(parts)}. {judge['validity']['statement']}"


def notes(
    profile: Profile,
    thresholds: Mapping[str, float],
    judge: dict | None,
    changed: Mapping[str, str] | None,
    elsewhere: bool,
    checks: Sequence[Check],
    card: dict | None = None,
    compared: tuple[str, str] = PLANNED,
) -> list[str]:
    """Lines of the headline that set no verdict: what this run can and cannot show.

    Eight parameters: each is one thing that a line may be about.
    """
    lines = []
    if profile.demonstrates_only and not elsewhere:
        lines.append(
            "This profile shows the pipeline at a toy scale; it is no evidence about emergent misalignment."
        )
        lines.append(
            "Its recoveries to harmful requests did not have to refuse or redirect: so small a model rarely does."
        )
    if not elsewhere and profile.data.capability != "arc_challenge":
        lines.append(f"Capability is scored on {profile.data.capability}, not on ARC-Challenge.")
    if compared != PLANNED:
        lines.append(
            f"Exploratory: {compared[0]} against {compared[1]}; the pre-registered comparison is {PLANNED[0]} against "
            f"{PLANNED[1]}."
        )
    auroc = judge["validity"]["auroc"] if judge else None
    lines += headline_notes(thresholds, auroc, list(changed or {}))
    if changed is None:
        lines.append(
            "Not confirmatory: no pre-registration stamp of notebook 01 belongs to these judgments."
        )
    lacking = [check.name for check in checks if check.status == NOT_RUN]
    if lacking:
        lines.append(f"Validity checks not run: {', '.join(lacking)}.")
    if card and not card["complete"]:
        lines.append(f"The reproducibility card fails: unknown {', '.join(card['unknown'])}.")
    if card:
        lines += lock_note(card.get("lock_differences"))
    return lines


def lock_note(differences: Sequence[str] | None) -> list[str]:
    """The headline's line on installed versions that are not the lock's; no line where all are."""
    if not differences:
        return []
    more = f"; and {len(differences) - LOCK_LINES} more" if len(differences) > LOCK_LINES else ""
    return [
        f"Installed versions differ from the lock: {'; '.join(differences[:LOCK_LINES])}{more}."
    ]


LOCK_LINES = 5  # differences that the headline names; the card has all


def new_figures(folder: Path) -> Path:
    """An empty place for the figures of the result that `folder` will hold; `write` puts it in the place of the old one."""
    drawn = folder / ".figures.new"
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.mkdir(parents=True)
    return drawn


def write(folder: Path, result: RunResult) -> str:
    """Writes the result, last of all, with the sha256 of each of its figures.

    Returns the sha256 of result.json. A stop in between leaves the old result beside figures that
    it does not list, which the report does not show.
    """
    drawn = folder / ".figures.new"
    figures = {path.name: runs.sha256(path) for path in sorted(drawn.iterdir())}
    with runs.atomic_path(folder / "figures") as beside:
        drawn.rename(beside)
    runs.write_text(folder / "result.json", replace(result, figures=figures).to_json())
    return runs.sha256(folder / "result.json")
