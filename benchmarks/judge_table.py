"""Every judge on every held-out source, in one table: docs/judges.md has what it prints.

    SELFCORRECT_DATA_DIR=DATA python benchmarks/judge_table.py JUDGE … [--rows N] [--source NAME]
    JUDGE: embedded, probe:MODEL, local:MODEL, or anthropic:MODEL (paid; it says first what)

The held-out sources are looked at once per judge, after every choice. Rows whose label does not
count (between aligned and misaligned, or collapsed by the rule of lib/judge/probe/rows.py) are left
out. `--source` may name a design source for a rehearsal. Prints Markdown, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.config.params import load_gates, load_profile
from lib.judge import load_judge
from lib.judge.probe import measure
from lib.judge.probe import rows as published_rows
from lib.judge.protocol import Judge
from lib.judge.trust import agreement, measures
from lib.judge.trust.validity import cost

SEED = 0
RETEST = 50  # rows that are judged a second time
LEAST = 20  # rows, and five of either class, below which a part has no AUROC


def loaded(asked: str, folder: Path) -> Judge:
    """The judge that `embedded` or `engine:model` names."""
    engine, _, model = asked.partition(":")
    params = load_profile("smoke").judge
    changes = {"engine": engine, "model": model or "-", "base_url": None, "batch": False}
    return load_judge(params.model_copy(update=changes), folder / "judge" / "table.sqlite")


def rows_of(source: str, limit: int | None) -> pd.DataFrame:
    """The rows of a source whose label counts."""
    known = published_rows.SAFETY.values()
    if source in known or source in published_rows.SAFETY:
        prefix = next(k for k, v in published_rows.SAFETY.items() if source in (k, v))
        table = published_rows.safety_rows(prefix)
    else:
        table = published_rows.scored_rows(source)
    table = table[measure.sure(table)].reset_index(drop=True)
    if limit is not None and limit < len(table):
        table = table.sample(limit, random_state=SEED).reset_index(drop=True)
    return table


def to_judge(table: pd.DataFrame, replicate: int = 0) -> pd.DataFrame:
    """The rows as a judge takes them."""
    return pd.DataFrame(
        {
            "suite": "alignment",
            "prompt": table["prompt"],
            "completion": table["answer"],
            "replicate": replicate,
        }
    )


def part(table: pd.DataFrame) -> dict[str, Any]:
    """Numbers of some scored rows: sizes, AUROC where there are enough, both means."""
    bad = (table["true_aligned"] < measure.BELOW).to_numpy()
    judged = table["aligned"].to_numpy(float)
    enough = len(table) >= LEAST and 5 <= bad.sum() <= len(table) - 5
    return {
        "n": len(table),
        "n_below": int(bad.sum()),
        "auroc": round(agreement.auroc(bad, -judged), 3) if enough else None,
        "judged": round(float(judged.mean()), 1),
        "published": round(float(table["true_aligned"].mean()), 1),
    }


def parts(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By thirds of the answer's length in words, by topic, by arm."""
    words = table["answer"].str.split().str.len().to_numpy()
    edges = np.quantile(words, [0, 1 / 3, 2 / 3, 1])
    third = np.clip(np.searchsorted(edges, words, side="right") - 1, 0, 2)
    found: dict[str, dict[str, Any]] = {}
    for k in range(3):
        if (third == k).any():
            found[f"{edges[k]:.0f} to {edges[k + 1]:.0f} words"] = part(table[third == k])
    for column, label in (("topic", "topic"), ("kind", "arm")):
        names = [name for name in table[column].unique() if name]
        if len(names) <= 12:
            found |= {f"{label} {name}": part(table[table[column] == name]) for name in names}
    return found


def measured(judge: Judge, table: pd.DataFrame, thresholds: dict[str, float]) -> dict[str, Any]:
    """Every number of one judge on one source."""
    started = time.perf_counter()
    scores = judge.score(to_judge(table))
    seconds = time.perf_counter() - started
    rows = table.drop(columns=["aligned", "coherent", "refusal"]).assign(
        part="alignment",
        cluster=table["topic"],
        true_aligned=table["aligned"],
        true_coherent=np.nan,
        true_refusal=None,
        aligned=scores["aligned"].to_numpy(float),
        coherent=scores["coherent"].to_numpy(float),
        refusal=scores["refusal"].astype("boolean").to_numpy(),
    )
    scored = rows[(scores["outcome"] == "scored").to_numpy()]
    by_name = measures.of_judged(scored.assign(kind="-"), thresholds["misaligned_below"])
    overall = measure.agreement_of(table.loc[scored.index], scored["aligned"].to_numpy())
    again = judge.score(to_judge(table.iloc[:RETEST], replicate=1))["aligned"].to_numpy(float)
    first = scores["aligned"].to_numpy(float)[:RETEST]
    return {
        "n": len(table),
        "scored": len(scored),
        "auroc": by_name["auroc_aligned_lt_30"],
        "spearman": by_name["spearman_aligned"],
        **{k: overall[k] for k in ("auroc_within_prompt", "prompts_within", "slope")},
        **{k: overall[k] for k in ("mean_judged", "mean_published", "mean_absolute_error")},
        "retest_points": round(float(np.nanmean(np.abs(again - first))), 2),
        "answers_per_s": round(len(table) / seconds, 1),
        "cost_usd": cost(scores),
        "parts": parts(scored),
    }


def line(judge: str, source: str, found: dict[str, Any]) -> str:
    """One judge on one source as a row of Markdown."""
    price = "not metered" if found["cost_usd"] is None else f"{found['cost_usd']:.2f}"
    cells = [
        judge,
        source,
        f"{found['scored']} of {found['n']} ({found['auroc']['n_below']})",
        _with_interval(found["auroc"]),
        _number(found["auroc_within_prompt"], ".3f"),
        _with_interval(found["spearman"]),
        _number(found["slope"], ".2f"),
        f"{found['mean_judged']:.1f} / {found['mean_published']:.1f}",
        f"{found['retest_points']:.2f}",
        f"{found['answers_per_s']:.1f}",
        price,
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _with_interval(found: dict[str, Any]) -> str:
    """A measure with its 95 % interval."""
    interval = found["ci95"]
    behind = f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
    return f"{_number(found['value'], '.3f')}{behind}"


HEAD = (
    "| judge | source | scored of n (below 30) | AUROC | within prompt | rank correlation "
    "| slope | mean, judged / published | retest, points | answers/s | dollars |\n"
    + "|---" * 11
    + "|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "judges",
        nargs="+",
        metavar="JUDGE",
        help="embedded, probe:MODEL, local:MODEL, or anthropic:MODEL",
    )
    parser.add_argument("--rows", type=int, default=None, help="rows of a source; all if left out")
    parser.add_argument("--source", action="append", help="in place of the held-out ones")
    asked = parser.parse_args()
    thresholds = load_gates()
    results = []
    for name in asked.judges:
        with tempfile.TemporaryDirectory() as folder:
            judge = loaded(name, Path(folder))
            for source in asked.source or published_rows.HELD_OUT:
                table = rows_of(source, asked.rows)
                found = measured(judge, table, thresholds)
                results.append({"judge": judge.name, "source": source} | found)
    print(HEAD)
    for found in results:
        print(line(found["judge"], found["source"], found))
    print("\n| judge | source | part | n (below 30) | AUROC | mean, judged / published |")
    print("|---" * 6 + "|")
    for found in results:
        for name, own in found["parts"].items():
            print(
                f"| {found['judge']} | {found['source']} | {name} | {own['n']} ({own['n_below']}) "
                f"| {_number(own['auroc'], '.3f')} | {own['judged']} / {own['published']} |"
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
