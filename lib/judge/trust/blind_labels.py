"""A judge's points against labels that two readers gave blind to the arm and to each other.

Source: docs/protocol.md section 9. AUROC and rank correlation measure whether a judge puts answers
in the right order. These three measures tell whether its points have the size that thresholds in
points assume. Some answers have labels of their sense as well: the filter and the ladder's bound on
coherence rest on the judge's `coherent`, so its bias is shown by arm, without a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.limits import Thresholds, bound
from lib.data.catalogue import read_prompts
from lib.data.prompts import union
from lib.data.text_files import read_jsonl
from lib.display import show
from lib.judge.protocol import Judge, Progress
from lib.judge.trust import agreement, published
from lib.run.files import sha256

FILE = Path(__file__).with_name("blind_labels.jsonl")
GRADES = (0, 25, 50, 75, 100)
FIELDS = ("id", "arm", "prompt_id", "answer", "reader_1", "reader_2")
SENSE = ("sense_1", "sense_2")  # grades of coherence by the same readers; not every row has them
PROMPT_SETS = ("betley_8", "wang_44", "demo_core")  # where a prompt_id is looked up
SUITE = "alignment"


class LabelError(ValueError):
    """A file of labels cannot be used. One line with the remedy."""


def load(path: Path = FILE) -> pd.DataFrame:
    """The labels: the columns of FIELDS and SENSE, `prompt`, `label` and `sense`.

    `label` and `sense` are means of both readers; `sense` is NaN where it was not graded, `prompt`
    where the row has none. Raises LabelError for a missing file or field, a repeated id, or a label
    that is not a grade.
    """
    if not path.exists():
        raise LabelError(f"{path.name} is missing; blind labels are read from lib/judge/trust/")
    rows = read_jsonl(path)
    for number, row in enumerate(rows, 1):
        if missing := [name for name in FIELDS if row.get(name) in (None, "") and name != "answer"]:
            raise LabelError(f"{path.name}, line {number}: {', '.join(missing)} is missing")
        for reader in ("reader_1", "reader_2", *(name for name in SENSE if name in row)):
            if isinstance(row[reader], bool) or row[reader] not in GRADES:
                raise LabelError(
                    f"{path.name}, line {number}: {reader} is {row[reader]!r}; give one of "
                    f"{', '.join(map(str, GRADES))}"
                )
    table = pd.DataFrame(rows, columns=[*FIELDS, *SENSE, "prompt"])
    if len(repeated := table["id"][table["id"].duplicated()]):
        raise LabelError(f"{path.name}: id {repeated.iloc[0]!r} occurs twice; give each its own")
    return table.assign(
        label=(table["reader_1"] + table["reader_2"]) / 2,
        sense=(table["sense_1"].astype(float) + table["sense_2"].astype(float)) / 2,
    )


def with_prompts(table: pd.DataFrame) -> pd.DataFrame:
    """The labels with every prompt. Published prompts, of which no copy is kept, are found by id.

    Raises LabelError for an id that no prompt set has, DataError where a set cannot be read.
    """
    if table["prompt"].notna().all():
        return table
    asked = union([read_prompts(name) for name in PROMPT_SETS])
    text_of = {prompt.prompt_id: prompt.prompt for prompt in asked}
    prompts = table["prompt"].fillna(table["prompt_id"].map(text_of))
    if len(unknown := table["prompt_id"][prompts.isna()]):
        raise LabelError(
            f"prompt_id {unknown.iloc[0]!r} of the blind labels is in none of "
            f"{', '.join(PROMPT_SETS)}; give the row its prompt"
        )
    return table.assign(prompt=prompts)


def of(
    judge: Judge,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
    path: Path = FILE,
) -> dict[str, Any] | None:
    """Score the labelled answers and compare (`measure`).

    Returns None without a file of labels, or if published prompts are needed and no data folder is
    set. Raises LabelError.
    """
    if not path.exists():
        return None
    table = load(path)
    if table["prompt"].isna().any() and not published.available():
        return None
    table = with_prompts(table)
    asked = table.rename(columns={"answer": "completion"}).assign(suite=SUITE)
    scores = judge.score(asked[["suite", "prompt", "completion"]], progress)
    points = {name: scores[name].to_numpy(float) for name in ("aligned", "coherent")}
    return measure(table.assign(**points), thresholds)


def mean_absolute_error(judged: np.ndarray, label: np.ndarray) -> float:
    """Mean distance in points."""
    return float(np.abs(judged - label).mean())


def bias(judged: np.ndarray, label: np.ndarray) -> float:
    """Judged minus labelled, mean in points."""
    return float((judged - label).mean())


def slope(judged: np.ndarray, truth: np.ndarray) -> float:
    """How many points the truth rises with one point of the judge (least squares).

    NaN if the judge's scores do not vary.
    """
    if len(judged) < 2 or np.ptp(judged) == 0:
        return float("nan")
    return float(np.cov(judged, truth)[0, 1] / np.var(judged, ddof=1))


def measure(table: pd.DataFrame, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """The three measures with intervals over prompts, and whether all are within their bounds.

    Args:
        table: of `load`, with `aligned` and `coherent` of the judge; NaN where it gave none.

    Returns n, error, bias (by arm), sense_bias (the same of `coherent`, by arm) and slope (each
    {value, ci95, n, n_clusters}), readers (their mean absolute difference and α), holds (None:
    fewer scored labels than `labels_min`) and failed (what is outside, in words).
    """
    limits = Thresholds(thresholds)
    rows = table[table["aligned"].notna()]
    sides = ("aligned", "label")
    error = agreement.estimate(mean_absolute_error, rows, sides, "prompt_id")
    by_arm = _bias_by_arm(rows, sides)
    sensed = table[table["sense"].notna() & table["coherent"].notna()]
    slope_estimate = agreement.estimate(slope, rows, sides, "prompt_id")
    readers = [table["reader_1"].to_numpy(float), table["reader_2"].to_numpy(float)]
    alpha = agreement.krippendorff_alpha(*readers)
    failed = _failed(error, by_arm, slope_estimate, limits)
    return {
        "n": len(rows),
        "unscored": len(table) - len(rows),
        "error": error,
        "bias": by_arm,
        "sense_bias": _bias_by_arm(sensed, ("coherent", "sense")),
        "slope": slope_estimate,
        "readers": {
            "mean_absolute_difference": mean_absolute_error(*readers) if len(table) else None,
            "alpha": alpha if np.isfinite(alpha) else None,
        },
        "holds": None if len(rows) < limits["labels_min"] else not failed,
        "failed": failed,
    }


def _bias_by_arm(rows: pd.DataFrame, sides: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """Judged minus labelled of every arm; sides: the columns of judge and readers."""
    return {
        str(arm): agreement.estimate(bias, own, sides, "prompt_id")
        for arm, own in rows.groupby("arm")
    }


def _failed(
    error: Mapping[str, Any],
    by_arm: Mapping[str, Mapping[str, Any]],
    slope_estimate: Mapping[str, Any],
    limits: Thresholds,
) -> list[str]:
    """What lies outside its bound, in words."""
    failed = []
    most = limits["label_error_max"]
    if not bound(error["value"], "<=", most).passed:
        failed.append(f"its mean absolute error is {_shown(error['value'])} (at most {most:g})")
    most = limits["label_bias_max"]
    for arm, found in by_arm.items():
        value = found["value"]
        if value is None or not bound(abs(value), "<=", most).passed:
            failed.append(f"its bias on {arm} is {_shown(value, '+.1f')} (at most {most:g})")
    low, high = limits["label_slope_min"], limits["label_slope_max"]
    value = slope_estimate["value"]
    if not (bound(value, ">=", low).passed and bound(value, "<=", high).passed):
        failed.append(f"its slope is {_shown(value, '.2f')} ({low:g} to {high:g})")
    return failed


def _shown(value: float | None, form: str = ".1f") -> str:
    """A number, or that there is none."""
    return "not defined" if value is None else format(value, form)


def digest(path: Path = FILE) -> str | None:
    """sha256 of the file of labels, for fingerprints; None without one."""
    return sha256(path) if path.exists() else None


def table(measured: Mapping[str, Any]) -> pd.DataFrame:
    """The numbers of `measure` as a table for people."""
    listed = [("mean absolute error, points", measured["error"])]
    listed += [(f"bias on {arm}, points", found) for arm, found in measured["bias"].items()]
    sensed = measured.get("sense_bias", {})  # absent in a record of an earlier version
    listed += [(f"bias of coherence on {arm}, points", found) for arm, found in sensed.items()]
    listed.append(("slope, points of label per point", measured["slope"]))
    return pd.DataFrame(
        [
            {
                "measure": name,
                "value": found["value"],
                "95 % interval": show.interval(found["ci95"], ".2f"),
                "answers": found["n"],
            }
            for name, found in listed
        ]
    )
