"""What is known of the judge: facts of notebook 05, the second judge's rows, one line on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.analysis.effects import StrippedEffect
from lib.display import show
from lib.judge.store import ledger
from lib.run.records import read_record
from lib.run.runs import Run

UNMEASURED = {
    "auroc": None,
    "source": None,
    "measures": {},
    "outcomes": {},
    "figure": None,
    "again": None,
    "statement": "Not measured: notebook 05 has no record of this judge's validity.",
}


def judge_facts(run: Run) -> dict[str, Any]:
    """What notebook 05 recorded: judge, rubric, calls, cost and retest, and four things more.

    `validity` is that of this very judge, `second` the second judge of these judgments, `bridge`
    this judge and others on the frozen set, and `ledger` lists the attempts of all stages that used
    a judge. Records of another judge, or of other judgments, are left over from an earlier session
    and are not shown.
    """
    session = read_record(run.dir / "manifests" / "05_judge.json")
    facts = {**session["facts"], "ledger": ledger(run.judge_store("session").parent)}
    measured = _recorded(run, "05_validity")
    of_this_judge = all(measured.get(key) == facts[key] for key in ("judge", "rubric"))
    facts["validity"] = measured["validity"] if of_this_judge else dict(UNMEASURED)
    second = _recorded(run, "05_second_judge")
    of_this_session = second.get("session") == session["fingerprint"]
    facts["second"] = second if of_this_session else None
    bridged = _recorded(run, "05_bridge")
    of_this_judge = all(bridged.get(key) == facts[key] for key in ("judge", "rubric"))
    facts["bridge"] = bridged["bridge"] if of_this_judge else None
    return facts


def _recorded(run: Run, stage: str) -> dict[str, Any]:
    """The facts of a stage as its manifest has them; empty without a manifest."""
    path = run.dir / "manifests" / f"{stage}.json"
    return read_record(path)["facts"] if path.exists() else {}


def second_judgments(run: Run, judge: Mapping[str, Any] | None) -> pd.DataFrame | None:
    """The second judge's rows with seed and condition; None unless they belong to this session."""
    if not judge or not judge.get("second"):
        return None
    frames = []
    for path in sorted((run.dir / "judgments_second").glob("seed*/*.parquet")):
        seed = int(path.parent.name.removeprefix("seed"))
        frames.append(pd.read_parquet(path).assign(seed=seed, condition=path.stem))
    return pd.concat(frames, ignore_index=True) if frames else None


def judge_line(
    judge: Mapping[str, Any] | None,
    stripped: StrippedEffect | None,
    by_suite: Sequence[Mapping[str, str]] = (),
) -> str:
    """One line next to the verdict: what is known of the judge, and what was not measured.

    by_suite: suite, judge and rubric of judgments from elsewhere (`table_checks.judges`).
    """
    if judge is None:
        return _line_of_another(by_suite)
    measures = judge["validity"]["measures"]
    second = judge.get("second")
    alpha = "no second judge"
    if second:
        alpha = _estimate(f"Krippendorff's α with {second['judge']}", second["alpha"])
    without_opening = "no stripped re-score"
    if stripped:
        interval = show.interval(stripped.ci95)
        gain = show.points(stripped.delta)
        without_opening = f"Δ with the opening stripped {gain} points (95 % interval {interval})"
    parts = [
        _estimate("AUROC for aligned < 30", measures.get("auroc_aligned_lt_30")),
        _estimate("rank correlation", measures.get("spearman_aligned")),
        _estimate("refusal F1", measures.get("refusal_f1")),
        _estimate("coherence AUROC", measures.get("coherence_auroc")),
        _retest(judge),
        alpha,
        without_opening,
    ]
    return f"Judge {judge['judge']}: {'; '.join(parts)}. {judge['validity']['statement']}"


def _line_of_another(by_suite: Sequence[Mapping[str, str]]) -> str:
    line = "Judge: judgments from elsewhere; its validity was not measured here."
    judged = ", ".join(
        f"{row['suite']} by {row['judge']} (rubric {row['rubric']})" for row in by_suite
    )
    return f"{line} Judged: {judged}." if judged else line


def _estimate(label: str, entry: Mapping[str, Any] | None) -> str:
    """A measure with its interval and size, or that it was not measured."""
    if not entry or entry["value"] is None:
        return f"{label} not measured"
    ends = show.interval(entry["ci95"], ".3f")
    interval = f" (95 % interval {ends})" if entry["ci95"] else ""
    return f"{label} {show.number(entry['value'], '.3f')}{interval}, n {entry['n']}"


def _retest(judge: Mapping[str, Any]) -> str:
    """By how much a score moves when the judge is asked again."""
    moved = judge["retest"]["mean_absolute_difference"]
    if moved is None:
        return "test–retest off"
    why = ""
    if moved == 0:
        why = " (it computes its scores)" if judge.get("computes") else " (no score moved)"
    pairs = judge["retest"]["pairs"]
    return f"test–retest moves a score by {moved:.1f} points{why}, n {pairs}"
