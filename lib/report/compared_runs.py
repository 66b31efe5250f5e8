"""Several finished runs side by side: how their parameters differ, and what each of them found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.analysis import sources
from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.sweeps import load_sweep
from lib.config.sweeps import names as sweep_names
from lib.display import show
from lib.report import arm_words, read_result
from lib.report.gate_words import ACCURACY, POINTS, RATE, Unit
from lib.run.records import read_record
from lib.run.runs import Run, runs_root

USAGE = 'make compare RUNS="a b"'
UNKNOWN_JUDGE = "unknown judge"
ABSENT = "–"
OTHER_JUDGE = "another judge: not compared"
OTHER_PROMPTS = "other prompts: not compared"


class CompareError(ValueError):
    """Runs that cannot be shown side by side. One line with the remedy."""


@dataclass(frozen=True)
class Finished:
    """One run with its result."""

    run: Run
    result: Mapping[str, Any]
    manifest: Mapping[str, Any]  # empty for judgments from elsewhere

    @property
    def judge(self) -> str:
        """Who judged the alignment answers, by which rubric."""
        pairs = {
            f"{row['judge']}, rubric {row['rubric']}"
            for row in self.result.get("judges") or []
            if row["suite"] == "alignment"
        }
        facts = self.result.get("judge")
        if not pairs and facts:
            pairs = {f"{facts['judge']}, rubric {facts['rubric']}"}
        return "; ".join(sorted(pairs)) or UNKNOWN_JUDGE

    @property
    def prompts(self) -> list[str]:
        """The prompts over which Δ is a mean."""
        return sorted(str(row["prompt_id"]) for row in self.result.get("per_prompt") or [])


def named(text: str) -> list[Finished]:
    """The finished runs that a text names, in its order. Raises CompareError."""
    names = text.split()
    if len(names) < 2:
        raise CompareError(
            f"RUNS names {show.plural(len(names), 'run')}; give two or more: {USAGE}"
        )
    for name in names:
        if names.count(name) > 1:
            raise CompareError(f"RUNS names {name!r} twice; name each run once")
    return [_finished(name) for name in names]


def of_sweep(name: str) -> list[Finished]:
    """The finished runs of a sweep, in its order; the others are named in a line.

    Raises ParamsError for an unknown sweep, and CompareError if fewer than two runs are finished.
    """
    names = [one.run for one in load_sweep(name).runs]
    finished = [one for one in names if Run(one).result.exists()]
    missing = [one for one in names if one not in finished]
    if len(finished) < 2:
        raise CompareError(
            f"{len(finished)} of {len(names)} runs of the sweep {name!r} are finished, two are "
            f"needed; continue it with make sweep NAME={name}"
        )
    if missing:
        print(f"not finished, so not on the page: {', '.join(missing)}")
    return [_finished(one) for one in finished]


def sweeps_of(run: Run) -> dict[str, list[Finished]]:
    """The finished runs of every sweep that has this run among them, by the sweep's name.

    The run itself is left out: its result may not be written yet. A sweep file that is not valid
    is skipped, since it says nothing about this run.
    """
    found = {}
    for name in sweep_names():
        try:
            runs = [one.run for one in load_sweep(name).runs]
        except ParamsError:
            continue
        if run.name in runs:
            others = [one for one in runs if one != run.name and Run(one).result.exists()]
            found[name] = [_finished(one) for one in others]
    return found


def same_judge(runs: Sequence[Finished]) -> bool:
    """Whether one known judge scored all of them."""
    return len({run.judge for run in runs}) == 1 and runs[0].judge != UNKNOWN_JUDGE


def differing(runs: Sequence[Finished]) -> tuple[pd.DataFrame, int]:
    """The parameters that differ, one column per run, and the number of those that do not."""
    by_run = [parameters(one) for one in runs]
    keys = sorted(set().union(*by_run))
    rows = []
    for key in keys:
        values = [found.get(key, ABSENT) for found in by_run]
        if len(set(values)) > 1:
            rows.append([key, *values])
    names = ["parameter", *(one.run.name for one in runs)]
    return pd.DataFrame(rows, columns=names), len(keys) - len(rows)


def parameters(one: Finished) -> dict[str, str]:
    """Everything that was chosen for a run, by dotted key: profile, sets, base, judge, stamp."""
    found = {"judged by": one.judge}
    roles = one.result["roles"]
    found |= {role: str(roles[role]) for role in ("treatment", "baseline")}
    if not one.manifest:
        return found | {"made by": "judgments from elsewhere"}
    _flatten(one.manifest.get("profile") or {}, "", found)
    stamp = (one.manifest.get("preregistration") or {}).get("sha256") or {}
    found |= {f"sha256 of {name}": digest[:12] for name, digest in stamp.items()}
    found["commit"] = str((one.manifest.get("environment") or {}).get("commit"))[:12]
    if (record := one.run.stage_manifest("01_build_traces")).exists():
        found["sha256 of the base"] = str(read_record(record)["inputs"].get("base"))[:12]
    return found


def numbers(runs: Sequence[Finished]) -> pd.DataFrame:
    """What each run found, one column per run."""
    rows = {
        "verdict": [_verdict(one.result) for one in runs],
        "judged by": [one.judge for one in runs],
        "seeds": [show.number(one.result.get("n_seeds"), "d") for one in runs],
        "prompts": [show.number(one.result["n_prompts"], "d") for one in runs],
        "Δ, points": [show.number(one.result["delta"], "+.1f") for one in runs],
        "scores that Δ compares": [one.result["headline"] for one in runs],
        "95 % interval": [show.interval(one.result["ci95"]) for one in runs],
        "one-sided p": [show.number(one.result["p_value"], ".4f") for one in runs],
        "minimum detectable effect, points": [show.points(one.result["mde"], "") for one in runs],
        "Δ against the first run of the judge, points": against_first(runs),
        "Δ by seed, points": [_by_seed(one.result) for one in runs],
    }
    for kind in ("filtered", "unfiltered"):
        effects = [one.result.get(kind) or {} for one in runs]
        rows[f"Δ {kind}, points"] = [show.number(effect.get("delta"), "+.1f") for effect in effects]
    for title, key, unit in (
        ("damage, untrained − undefended, unfiltered", "base_minus_baseline", POINTS),
        ("damage, untrained − undefended, filtered", "base_minus_baseline_filtered", POINTS),
        ("harmful answers, defended − undefended", "harmful_difference", RATE),
        ("coherence, defended − undefended", "coherence_difference", POINTS),
        ("right quiz answers, defended − undefended", "acc_difference", ACCURACY),
    ):
        rows[title] = [unit.text(one.result.get(key)) for one in runs]
    rows["confidence"] = [one.result["beside"]["confidence"] for one in runs]
    reviewed = [one.result["beside"].get("manual_review_done") for one in runs]
    rows["manual review"] = ["done" if done else "pending" for done in reviewed]
    table = pd.DataFrame(rows, index=[one.run.name for one in runs]).T
    return table.rename_axis("number").reset_index()


def against_first(runs: Sequence[Finished]) -> list[str]:
    """Δ minus that of the first run that the same judge scored on the same prompts, in words."""
    cells = []
    for number, one in enumerate(runs):
        first = next((other for other in runs[:number] if other.judge == one.judge), None)
        if one.judge == UNKNOWN_JUDGE:
            cells.append(f"{UNKNOWN_JUDGE}: not compared")
        elif first is None and number:
            cells.append(OTHER_JUDGE)
        elif first is None:
            cells.append("the first")
        elif first.prompts != one.prompts:
            cells.append(OTHER_PROMPTS)
        elif None in (one.result["delta"], first.result["delta"]):
            cells.append(ABSENT)
        else:
            difference = one.result["delta"] - first.result["delta"]
            cells.append(f"{show.points(difference)} against {first.run.name}")
    return cells


def arms(runs: Sequence[Finished], key: str, unit: Unit) -> pd.DataFrame:
    """One number of every arm, one column per run; `key` is its name in result.json."""
    order: dict[str, None] = {}
    for one in runs:
        order |= dict.fromkeys([*(one.result["order"] or []), *one.result["arms"]])
    parts = [arm_words.parts_of(one.result) for one in runs]
    words = {arm: word for arm, word in parts[0].items() if all(p.get(arm) == word for p in parts)}
    rows = [
        {"arm": arm_words.labels([arm], words, 60)[0]}
        | {one.run.name: unit.text((one.result["arms"].get(arm) or {}).get(key)) for one in runs}
        for arm in order
    ]
    return pd.DataFrame(rows)


def _finished(name: str) -> Finished:
    run = Run(name)
    if not run.result.exists():
        known = sorted(path.parents[1].name for path in runs_root().glob("*/stats/result.json"))
        nearest = closest_name(name, known)
        raise CompareError(
            f"{sources.no_planned_result(run)}, or name a finished run (nearest: {nearest!r})"
        )
    manifest = read_record(run.manifest) if run.manifest.exists() else {}
    return Finished(run, read_result.load(run.result), manifest)


def _flatten(value: Mapping[str, Any], prefix: str, into: dict[str, str]) -> None:
    """Adds every leaf of a nested mapping, as JSON, by its dotted key."""
    for name, part in value.items():
        if isinstance(part, Mapping) and part:
            _flatten(part, f"{prefix}{name}.", into)
        else:
            into[f"{prefix}{name}"] = json.dumps(part, ensure_ascii=False)


def _verdict(result: Mapping[str, Any]) -> str:
    title = result["beside"].get("title")
    return f"{result['verdict']} ({title})" if title else str(result["verdict"])


def _by_seed(result: Mapping[str, Any]) -> str:
    rows = result.get("per_seed") or []
    shown = [f"{row['seed']}: {show.points(row['delta'])}" for row in rows]
    return ", ".join(shown) or ABSENT
