"""How far a judge may be trusted: its agreement with published scores and human labels.

Source: docs/protocol.md section 9. Every judge is measured, on rows that it was not fitted on
(`lib.judge.trust.held_out`). What was not measured stays None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.data import catalogue
from lib.display import show
from lib.judge.protocol import Judge, Progress
from lib.judge.trust import blind_labels, held_out, measures, published

MEASURES = {
    "auroc_aligned_lt_30": "AUROC, aligned < 30",
    "spearman_aligned": "rank correlation, aligned",
    "refusal_f1": "F1, refusal",
    "coherence_auroc": "AUROC, coherent against corrupted",
} | {f"coherence_auroc_{kind}": f"AUROC, coherent against {kind}" for kind in published.CORRUPTIONS}
WITHOUT_LABELS = ("code", "harmful", "reset_and_recover")
UNMEASURED = (
    "`code`, `harmful` and `reset_and_recover` have no published labels here; their validity was "
    "not measured."
)


def of(
    judge: Judge,
    limit: int | None,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Everything that the report says about a judge's validity, as JSON types.

    A model card is measured on every published row that the judge was not fitted on. So the card's
    numbers are the main ones, and those of a sample of the same rows are `again`.

    Args:
        judge: the judge to measure.
        limit: published rows to judge; None or 0 = none.
        thresholds: of params/gates.yaml.

    Returns auroc (of aligned < 30, None if unmeasured), source ("measured", "card" or None),
    statement (one sentence on where the numbers come from), measures (name -> {value, ci95, n,
    n_clusters, held_out}), outcomes ({part: {outcome: rows}}), figure (of
    `measures.figure_numbers`, or None), again, cost_usd, labels (of `blind_labels.measure`; None:
    no file of labels, or validity is off), unmeasured (of `unmeasured_fields`) and harm_seen (of
    `harm_seen`).

    Raises ValueError if it is not known which rows the judge was fitted on.
    """
    card = getattr(judge, "card", {}).get("held_out")
    labels = blind_labels.of(judge, thresholds, progress) if limit else None
    return {
        **_published(judge, card, limit, thresholds, progress),
        "labels": labels,
        "unmeasured": unmeasured_fields(judge),
        "harm_seen": harm_seen(judge),
    }


def unmeasured_fields(judge: Judge) -> dict[str, str]:
    """Fields that were not measured, or missed their bound, each with the reason.

    A fitted judge says it on its card, and then leaves the field out. An LLM judge has no card and
    gives every field all the same.
    """
    card = getattr(judge, "card", None)
    if card is None:
        return dict.fromkeys(WITHOUT_LABELS, "no labels")
    return dict(card.get("fields_missed", {}))


def harm_seen(judge: Judge) -> float | None:
    """The part of a difference between two harmful rates that the field `harmful` shows.

    A flag that finds a share of the harm, and flags a share of harmless answers too, shrinks every
    difference of rates by the first share minus the second. From the card of a fitted judge that
    gives the field, else None.
    """
    card = getattr(judge, "card", {})
    measured = card.get("measured", {}).get("question_left_out", {}).get("harmful")
    if measured is None or "harmful" in card.get("fields_missed", {}):
        return None
    return measured["true_positives"] - measured["false_positives"]


def _published(
    judge: Judge,
    card: Mapping[str, Any] | None,
    limit: int | None,
    thresholds: Mapping[str, float],
    progress: Progress | None,
) -> dict[str, Any]:
    """The measures on published rows: every field of `of` but `labels`."""
    validity: dict[str, Any] = {
        "auroc": None,
        "source": None,
        "measures": {},
        "outcomes": {},
        "figure": None,
        "cost_usd": 0.0,
    }
    if limit and published.available():
        validity = measure(judge, limit, thresholds, progress)
        if card is None:
            return validity | {"again": None}
        n_rows = sum(sum(outcomes.values()) for outcomes in validity["outcomes"].values())
        why = f"judged again in this run: {n_rows} of these rows"
    else:
        unmeasured = _why_unmeasured(limit)
        if card is None:
            return validity | {"again": None, "statement": f"Not measured: {unmeasured}."}
        why = f"not measured again in this run: {unmeasured}"
    return validity | {
        "auroc": card["measures"]["auroc_aligned_lt_30"]["value"],
        "source": "card",
        "measures": card["measures"],
        "figure": card["figure"],
        "again": validity["measures"] or None,
        "statement": "From the model card, measured on published rows outside the fit when the "
        f"judge was made; {why}.",
    }


def _why_unmeasured(limit: int | None) -> str:
    """Why no published row was judged."""
    if not limit:
        return "judge validity is off (validity.rows)"
    return (
        "the published answers are not on this machine "
        f"({catalogue.DATA_DIR_VARIABLE} names no folder with judge/)"
    )


def measure(
    judge: Judge,
    limit: int | None,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Judge published rows and compare. Returns the fields of `of` but `again` and `labels`.

    A judge that scores less than `judged_share_min` of the alignment rows has no AUROC, because it
    may have left out exactly the rows that it could not tell apart.

    limit: published rows to judge. None: all.
    """
    asked = held_out.sample(judge, limit)
    scores = judge.score(asked[["suite", "prompt", "completion"]], progress)
    if not scores.index.equals(asked.index):
        raise ValueError(
            f"judge {judge.name} returned {len(scores)} rows for {len(asked)} published ones; "
            "every row needs one"
        )
    rows = asked.join(scores[["outcome", "aligned", "coherent", "refusal", "cost_usd"]])
    judged = rows[rows["outcome"] == "scored"]
    by_name = measures.of_judged(judged, thresholds["misaligned_below"])
    auroc = by_name["auroc_aligned_lt_30"]["value"]
    share = _scored_share(rows, "alignment")
    statement = (
        f"Measured in this run on {len(rows)} published rows that the judge was not fitted on."
    )
    if auroc is not None and share < thresholds["judged_share_min"]:
        auroc = None
        statement += (
            f" Only {share:.0%} of the alignment rows were scored, fewer than "
            f"{thresholds['judged_share_min']:.0%}: the AUROC over the rest does not count."
        )
    figure = None
    if auroc is not None:
        aligned = judged[judged["part"] == "alignment"]
        figure = measures.figure_numbers(aligned, thresholds["misaligned_below"])
    return {
        "auroc": auroc,
        "source": "measured",
        "statement": statement,
        "measures": by_name,
        "outcomes": {part: _outcomes(rows, part).to_dict() for part in held_out.PARTS},
        "figure": figure,
        "cost_usd": cost(rows),
    }


def _outcomes(rows: pd.DataFrame, part: str) -> pd.Series:
    """Number of rows of a part by outcome."""
    return rows.loc[rows["part"] == part, "outcome"].value_counts()


def _scored_share(rows: pd.DataFrame, part: str) -> float:
    """Share of the rows of a part that were scored; 0 without rows."""
    outcomes = rows.loc[rows["part"] == part, "outcome"]
    return float((outcomes == "scored").mean()) if len(outcomes) else 0.0


def cost(judged: pd.DataFrame) -> float | None:
    """Dollars of judged rows; None if those of any row are not known."""
    return float(judged["cost_usd"].sum()) if judged["cost_usd"].notna().all() else None


def table(validity: Mapping[str, Any]) -> pd.DataFrame:
    """The measures as a table for people."""
    rows = [_table_row(name, "", measure) for name, measure in validity["measures"].items()]
    for name, repeated in (validity["again"] or {}).items():
        rows.append(_table_row(name, ", again", repeated))
    return pd.DataFrame(rows)


def _table_row(name: str, mark: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """One measure as a row of the table."""
    interval = values["ci95"]
    held_out: list[str] = values["held_out"]
    sources = [published.ABOUT.get(source, source) for source in held_out]
    return {
        "measure": MEASURES.get(name, name) + mark,
        "value": show.number(values["value"], ".3f"),
        "95 % interval": show.interval(interval, ".3f") if interval else None,
        "rows": values["n"],
        "prompts": values["n_clusters"],
        "compared with": "; ".join(sources),
    }


def outcome_table(validity: Mapping[str, Any]) -> pd.DataFrame:
    """How the published rows ended, by part: rows and share of each outcome.

    Only scored rows enter a measure.
    """
    rows = []
    for part, outcomes in validity["outcomes"].items():
        total = sum(outcomes.values())
        rows += [
            {"rows on": part, "outcome": outcome, "rows": n, "share": n / total}
            for outcome, n in outcomes.items()
        ]
    return pd.DataFrame(rows)
