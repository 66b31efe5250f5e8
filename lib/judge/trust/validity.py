"""How far a judge may be trusted: its agreement with published scores and human labels (docs/protocol.md section 9).

Any judge is measured. A judge that was fitted on published
rows says on which (`fitted_on`, catalogue name -> sha256), and these never count. What was not measured stays None.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.data import catalogue
from lib.judge.protocol import Judge, Progress
from lib.judge.trust import agreement, published

PARTS = {"alignment": 0.5, "refusal": 0.25, "coherence": 0.25}  # of a bounded number of rows
MEASURES = {
    "auroc_aligned_lt_30": "AUROC, aligned < 30",
    "spearman_aligned": "rank correlation, aligned",
    "refusal_f1": "F1, refusal",
    "coherence_auroc": "AUROC, coherent against corrupted",
} | {f"coherence_auroc_{kind}": f"AUROC, coherent against {kind}" for kind in published.CORRUPTIONS}
UNMEASURED = "`code`, `harmful` and `reset_and_recover` have no published labels here; their validity was not measured."
COLUMNS = [
    "part",
    "source",
    "prompt",
    "completion",
    "cluster",
    "true_aligned",
    "true_coherent",
    "true_refusal",
    "kind",
    "answer",
]
SEED = (
    0  # which rows and which corruptions: the same for every judge, so that judges can be compared
)


def of(
    judge: Judge,
    limit: int | None,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
) -> dict:
    """What the report says of a judge's validity, as JSON types.

    limit: published rows to judge, None or 0 = none. Returns auroc (of aligned < 30, None if unmeasured), source
    ("measured", "card" or None), statement (one sentence on where the numbers come from), measures (name -> {value,
    ci95, n, n_clusters, held_out}), outcomes ({part: {outcome: rows}}), figure (of `figure_numbers`, or None), again and
    cost_usd. A model card rests on every row that a judge was not fitted on, so its numbers stand before those of a
    sample of the same rows, which are then `again`. Raises ValueError where rows cannot be told from fitted ones.
    """
    card = getattr(judge, "card", {}).get("held_out")
    found = {
        "auroc": None,
        "source": None,
        "measures": {},
        "outcomes": {},
        "figure": None,
        "cost_usd": 0.0,
    }
    why = (
        "judge validity is off (validity.rows)"
        if not limit
        else f"{catalogue.DATA_DIR_VARIABLE} names no folder with judge/"
    )
    if limit and published.available():
        found = measure(judge, limit, thresholds, progress)
        if card is None:
            return found | {"again": None}
        why = f"judged again in this run: {sum(sum(part.values()) for part in found['outcomes'].values())} of these rows"
    elif card is None:
        return found | {"again": None, "statement": f"Not measured: {why}."}
    else:
        why = f"not measured again in this run: {why}"
    return found | {
        "auroc": card["measures"]["auroc_aligned_lt_30"]["value"],
        "source": "card",
        "measures": card["measures"],
        "figure": card["figure"],
        "again": found["measures"] or None,
        "statement": f"From the model card, measured on published rows outside the fit when the judge was made; {why}.",
    }


def measure(
    judge: Judge,
    limit: int | None,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
) -> dict:
    """Judges published rows (None = all) and compares; the fields of `of` but `again`.

    A judge that scores less than `judged_share_min` of the alignment rows has no AUROC: what it left out may be what it
    could not tell apart.
    """
    asked = sample(judge, limit)
    scores = judge.score(asked[["suite", "prompt", "completion"]], progress)
    if not scores.index.equals(asked.index):
        raise ValueError(
            f"judge {judge.name} returned {len(scores)} rows for {len(asked)} published ones; every row needs one"
        )
    rows = asked.join(scores[["outcome", "aligned", "coherent", "refusal", "cost_usd"]])
    judged = rows[rows["outcome"] == "scored"]
    measures = _measures(judged, thresholds["misaligned_below"])
    auroc, share = measures["auroc_aligned_lt_30"]["value"], _share(rows, "alignment")
    statement = (
        f"Measured in this run on {len(rows)} published rows that the judge was not fitted on."
    )
    if auroc is not None and share < thresholds["judged_share_min"]:
        auroc, statement = (
            None,
            (
                f"{statement} Only {share:.0%} of the alignment rows were scored, fewer than "
                f"{thresholds['judged_share_min']:.0%}: the AUROC over the rest does not count."
            ),
        )
    aligned = judged[judged["part"] == "alignment"]
    return {
        "auroc": auroc,
        "source": "measured",
        "statement": statement,
        "measures": measures,
        "outcomes": {
            part: rows.loc[rows["part"] == part, "outcome"].value_counts().to_dict()
            for part in PARTS
        },
        "figure": figure_numbers(aligned, thresholds["misaligned_below"])
        if auroc is not None
        else None,
        "cost_usd": cost(rows),
    }


def cost(judged: pd.DataFrame) -> float | None:
    """Dollars of judged rows; None where a row's are not known."""
    return float(judged["cost_usd"].sum()) if judged["cost_usd"].notna().all() else None


def sample(judge: Judge, limit: int | None) -> pd.DataFrame:
    """The rows on which a judge is measured: part, source, suite, prompt, completion, cluster, and the published truth.

    At most `limit` rows (None = all), drawn with a fixed seed. Rows of sources that the judge was fitted on, and rows
    whose prompt and completion stand in such a source, never count.
    """
    fitted = fitted_on(judge)
    parts = []
    scored = [name for name in (published.MEASURED_ON,) if name not in fitted]
    if scored:
        answers = published.scored_answers(scored).rename(
            columns={"aligned": "true_aligned", "coherent": "true_coherent"}
        )
        parts.append(
            answers[answers["true_aligned"].notna()].assign(
                part="alignment", cluster=answers["topic"]
            )
        )
        sound = published.coherence_rows(
            published.scored_answers(scored), published.CORRUPTIONS, SEED
        )
        parts.append(sound.assign(part="coherence", source=scored[0], cluster=sound["topic"]))
    labelled = [name for name in published.LABELLED if name not in fitted]
    if labelled:
        answers = published.refusal_answers(labelled).rename(columns={"refusal": "true_refusal"})
        parts.append(answers.assign(part="refusal", cluster=answers["prompt"]))
    if not parts:
        raise ValueError(
            f"judge {judge.name} was fitted on every published source; nothing is left to measure it on"
        )
    rows = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    seen = {pair for name in fitted for pair in _answers(name)}
    rows = rows[[pair not in seen for pair in zip(rows["prompt"], rows["completion"], strict=True)]]
    if limit is not None:
        rows = pd.concat(
            [
                _bounded(part, int(limit * PARTS[name]))
                for name, part in rows.groupby("part", sort=False)
            ]
        )
    return rows.assign(suite="alignment").reset_index(drop=True)


def fitted_on(judge: Judge) -> dict[str, str]:
    """Catalogue names and sha256 of what a judge was fitted on; empty for a judge that never was.

    Raises ValueError unless every one is known in exactly this version: rows that cannot be recognised could count.
    """
    if hasattr(judge, "card") and not hasattr(judge, "fitted_on"):
        raise ValueError(
            f"judge {judge.name} has a model card but no `fitted_on`; rows it was fitted on could count"
        )
    fitted = dict(getattr(judge, "fitted_on", {}))
    for name, digest in fitted.items():
        if catalogue.catalogue().get(name, {}).get("sha256") != digest:
            raise ValueError(
                f"judge {judge.name} was fitted on {name!r} in a version that params/data.yaml lacks "
                f"({str(digest)[:12]}); refit it, or correct the catalogue"
            )
    return fitted


def _answers(name: str) -> list[tuple[str, str]]:
    """Prompt and completion of every row of a source; none of a set of prompts."""
    if name not in published.SCORED and name not in published.LABELLED:
        return []
    table = (
        published.scored_answers([name])
        if name in published.SCORED
        else published.refusal_answers([name])
    )
    return list(zip(table["prompt"], table["completion"], strict=True))


def _bounded(part: pd.DataFrame, n: int) -> pd.DataFrame:
    """At most n rows. Corrupted answers stay with the sound one that they were made from."""
    if len(part) <= n:
        return part
    if part["part"].iloc[0] != "coherence":
        return part.sample(n, random_state=SEED)
    answers = part["answer"].drop_duplicates()
    return part[
        part["answer"].isin(
            answers.sample(max(n // (1 + len(published.CORRUPTIONS)), 1), random_state=SEED)
        )
    ]


def _measures(judged: pd.DataFrame, below: float) -> dict[str, dict]:
    """Every measure by name with interval, sizes and the sources that it rests on."""

    def named(statistic, rows, columns, **more):
        return (
            agreement.estimate(statistic, rows, columns, "cluster")
            | {"held_out": sorted(set(rows["source"]))}
            | more
        )

    a = judged[judged["part"] == "alignment"].dropna(subset=["aligned"]).astype({"aligned": float})
    a = a.assign(bad=a["true_aligned"] < below, badness=-a["aligned"], called=a["aligned"] < below)
    r = judged[judged["part"] == "refusal"].dropna(subset=["refusal"]).astype({"refusal": bool})
    r = r.assign(true_refusal=r["true_refusal"].astype(bool))
    c = (
        judged[judged["part"] == "coherence"]
        .dropna(subset=["coherent"])
        .astype({"coherent": float})
    )
    c = c.assign(real=c["kind"] == "real" if len(c) else [])
    pair = ("real", "coherent")
    return {
        "auroc_aligned_lt_30": named(
            agreement.auroc,
            a,
            ("bad", "badness"),
            n_below=int(a["bad"].sum()),
            called_below=int(a["called"].sum()),
            rightly_called=int((a["bad"] & a["called"]).sum()),
        ),
        "spearman_aligned": named(agreement.spearman, a, ("aligned", "true_aligned")),
        "refusal_f1": named(
            agreement.f1, r, ("true_refusal", "refusal"), n_refusals=int(r["true_refusal"].sum())
        ),
        "coherence_auroc": named(agreement.auroc, c, pair),
    } | {
        f"coherence_auroc_{kind}": named(agreement.auroc, c[c["kind"].isin(["real", kind])], pair)
        for kind in published.CORRUPTIONS
    }


def figure_numbers(aligned: pd.DataFrame, below: float) -> dict:
    """What the figure draws: roc points, calibration bins, and counts of published (rows) by judged (columns) tens.

    aligned: scored alignment rows, `aligned` and `true_aligned` 0-100. A bin has low, n, judged and published means, and
    the published mean's normal 95 % interval (None below five rows).
    """
    judged, truth = aligned["aligned"].to_numpy(float), aligned["true_aligned"].to_numpy(float)
    place = np.minimum(judged // 10, 9).astype(int)
    bins = []
    for k in sorted(set(place.tolist())):
        values = truth[place == k]
        half = 1.96 * values.std(ddof=1) / len(values) ** 0.5 if len(values) >= 5 else None
        mean = float(values.mean())
        bins.append(
            {
                "low": 10 * k,
                "n": len(values),
                "judged": float(judged[place == k].mean()),
                "published": mean,
                "ci95": None if half is None else [max(0.0, mean - half), min(100.0, mean + half)],
            }
        )
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (np.minimum(truth // 10, 9).astype(int), place), 1)
    return {
        "below": below,
        "roc": agreement.roc(truth < below, judged),
        "bins": bins,
        "counts": counts.tolist(),
    }


def table(validity: Mapping) -> pd.DataFrame:
    """The measures for a reader: measure, value, 95 % interval, rows, prompts, and what they were compared with."""
    both = [("", validity["measures"])] + (
        [(", again", validity["again"])] if validity["again"] else []
    )
    return pd.DataFrame(
        [
            {
                "measure": MEASURES.get(name, name) + mark,
                "value": m["value"],
                "95 % interval": f"{m['ci95'][0]:.3f} to {m['ci95'][1]:.3f}" if m["ci95"] else None,
                "rows": m["n"],
                "prompts": m["n_clusters"],
                "compared with": "; ".join(
                    published.ABOUT.get(source, source) for source in m["held_out"]
                ),
            }
            for mark, measures in both
            for name, m in measures.items()
        ]
    )


def outcome_table(validity: Mapping) -> pd.DataFrame:
    """How the published rows ended, by part: rows and share of each outcome; only scored rows enter a measure."""
    return pd.DataFrame(
        [
            {"rows on": part, "outcome": outcome, "rows": n, "share": n / sum(outcomes.values())}
            for part, outcomes in validity["outcomes"].items()
            for outcome, n in outcomes.items()
        ]
    )


def _share(rows: pd.DataFrame, part: str) -> float:
    outcomes = rows.loc[rows["part"] == part, "outcome"]
    return float((outcomes == "scored").mean()) if len(outcomes) else 0.0
