"""Compare judges on the frozen set of answers: `python -m lib.judge.trust.bridge add PROFILE`.

Source: docs/protocol.md section 9. Judges differ by ten points and more on the same answers, so
scores of two judges are never compared otherwise. A change of judge shows here as a shift, before
anybody takes it for a finding.

`add` scores the set with the judge of a profile and keeps the scores beside the set. `check` says
what is missing in the set.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.config import params
from lib.judge.protocol import Judge, Progress
from lib.judge.trust import agreement, blind_labels, bridge_set
from lib.run.judging_facts import BridgeFacts


def mean_shift(own: np.ndarray, other: np.ndarray) -> float:
    """Own minus other, mean in points."""
    return float((own - other).mean())


def compare(
    table: pd.DataFrame, own: bridge_set.Scores, other: bridge_set.Scores
) -> dict[str, Any]:
    """Compare one judge's points with another's, over answers that both scored.

    Returns n, own and other (means), and shift (own − other, points), slope (points of own per
    point of other) and spearman, each {value, ci95, n, n_clusters}, and arms (shift by arm).
    Intervals resample prompts.
    """
    rows = table.assign(
        own=[_aligned(own, name) for name in table["id"]],
        other=[_aligned(other, name) for name in table["id"]],
    ).dropna(subset=["own", "other"])
    sides = ("own", "other")
    return {
        "n": len(rows),
        "own": float(rows["own"].mean()) if len(rows) else None,
        "other": float(rows["other"].mean()) if len(rows) else None,
        "shift": agreement.estimate(mean_shift, rows, sides, "prompt_id"),
        "slope": agreement.estimate(blind_labels.slope, rows, ("other", "own"), "prompt_id"),
        "spearman": agreement.estimate(agreement.spearman, rows, sides, "prompt_id"),
        "arms": {
            str(arm): agreement.estimate(mean_shift, part, sides, "prompt_id")
            for arm, part in rows.groupby("arm")
        },
    }


def _aligned(scores: bridge_set.Scores, name: str) -> float:
    """`aligned` of an answer; NaN where the judge gave none."""
    value = scores[name][0]
    return float("nan") if value is None else float(value)


def of(
    judge: Judge,
    thresholds: Mapping[str, float],
    progress: Progress | None = None,
    paths: tuple[Path, Path] = (bridge_set.SET, bridge_set.SCORES),
) -> dict[str, Any]:
    """Compare the run's judge with every other one on the frozen set.

    If the file has scores of the same judge, they are used. Raises BridgeError.

    Args:
        judge: the run's judge.
        thresholds: params/gates.yaml.
        progress: called with (done, total).
        paths: files of the set and of the scores.

    Returns identity, rows, set_sha256, reused, cost_usd, unscored, and others (`compare` by
    identity).
    """
    table = bridge_set.load(thresholds, paths[0])
    known = bridge_set.stored(table, paths[1])
    name = bridge_set.identity(judge)
    cost = 0.0
    own = known.get(name)
    if own is None:
        own, cost = bridge_set.score(judge, table, progress)
    others = {other: scores for other, scores in known.items() if other != name}
    return {
        "identity": name,
        "rows": len(table),
        "set_sha256": bridge_set.digest(table),
        "reused": name in known,
        "cost_usd": cost,
        "unscored": sum(pair[0] is None for pair in own.values()),
        "others": {other: compare(table, own, scores) for other, scores in others.items()},
    }


def facts(judge: Judge, compared: Mapping[str, Any]) -> BridgeFacts:
    """The facts of notebook 05's stage. compared: of `of`."""
    return BridgeFacts(
        judge=judge.name,
        rubric=judge.rubric,
        calls=0 if compared["reused"] else compared["rows"],
        to_retry=0 if compared["reused"] else judge.to_retry,
        cost_usd=0.0 if compared["reused"] else compared["cost_usd"],
        bridge=dict(compared),
    )


def table_of(found: Mapping[str, Any]) -> pd.DataFrame:
    """The numbers of `of` as a table for people: a row per judge, and below it one per arm."""
    rows = []
    for name, compared in found["others"].items():
        rows.append(
            {
                "compared with": name,
                "answers": compared["n"],
                "this judge": compared["own"],
                "the other": compared["other"],
                "shift, points": compared["shift"]["value"],
                "95 % interval": _interval(compared["shift"]["ci95"], "+.1f"),
                "slope": compared["slope"]["value"],
                "interval of the slope": _interval(compared["slope"]["ci95"], ".2f"),
                "rank correlation": compared["spearman"]["value"],
            }
        )
        rows += [
            {
                "compared with": f"– arm {arm}",
                "answers": shift["n"],
                "shift, points": shift["value"],
                "95 % interval": _interval(shift["ci95"], "+.1f"),
            }
            for arm, shift in compared["arms"].items()
        ]
    return pd.DataFrame(rows)


def _interval(ci95: Sequence[float] | None, form: str) -> str:
    """An interval in words; empty if there is none."""
    return f"{ci95[0]:{form}} to {ci95[1]:{form}}" if ci95 else ""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns 1 after a fault, which it says in one line."""
    parser = argparse.ArgumentParser(prog="python -m lib.judge.trust.bridge")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "check", help="whether the frozen set is complete, and which judges have scored it"
    )
    adding = commands.add_parser("add", help="score the set with a profile's judge")
    adding.add_argument("profile", help="its name in params/")
    adding.add_argument("overrides", nargs="?", default="{}", help="as JSON, of the profile")
    asked = parser.parse_args(argv)
    try:
        table = bridge_set.load(params.load_gates())
        if asked.command == "add":
            print(f"added the scores of {_add(asked.profile, asked.overrides, table)}")
        known = bridge_set.stored(table)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"bridge: {error}", file=sys.stderr)
        return 1
    print(f"{len(table)} answers, scored by {', '.join(sorted(known)) or 'no judge yet'}")
    return 0


def _add(profile: str, overrides: str, table: pd.DataFrame) -> str:
    """Score the set with the judge of a profile; returns the judge's identity."""
    from lib.judge import load_judge

    asked = params.load_profile(profile, overrides).judge
    with tempfile.TemporaryDirectory() as folder:
        judge = load_judge(asked, Path(folder) / "judge" / "bridge.sqlite")
        bridge_set.add(judge, table)
    return bridge_set.identity(judge)


if __name__ == "__main__":
    sys.exit(main())
