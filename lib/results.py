"""Folders of the published schema to tables, and what the report says around the verdict (notebook 06)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lib.checks import NOT_RUN, Check
from lib.gates import headline_notes
from lib.judge.session import read_samples
from lib.params import Profile, load_profile
from lib.reflex import add_reflex_columns
from lib.runs import Run, read_json
from lib.tables import CAPABILITY_COLUMNS, SchemaError, validate_capability, validate_judgments

JOIN = ["seed", "condition", "suite", "prompt_id", "sample_index"]


PLANNED = ("selfcorrect_em", "c6_vanilla_em")  # the one comparison that was pre-registered


def check_source(run: Run, run_name: str, judgments: str, capability: str) -> None:
    """Raises ValueError when judgments from elsewhere would overwrite, or be mixed with, a run's own."""
    if capability and not judgments:
        raise ValueError("capability from elsewhere needs its judgments too; give -p judgments DIR")
    if judgments and not run_name:
        raise ValueError("judgments from elsewhere need a run name of their own; give -p run NAME")
    if judgments and run.manifest.exists():
        raise ValueError(f"run {run.name!r} has artifacts of its own; give judgments from elsewhere another -p run NAME")


def target(run: Run, treatment: str, baseline: str, elsewhere: bool) -> Path:
    """Where the result goes: `stats/`, and a folder below it for a comparison that was not the planned one of the run."""
    planned = elsewhere or (treatment, baseline) == PLANNED
    return run.result.parent if planned else run.result.parent / f"{treatment}_vs_{baseline}"


def read_judgments(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.parquet` of a folder, with seed and condition, each file checked against the schema.

    Raises SchemaError naming the file, the column and the row, or when there is no file.
    """
    frames = []
    for seed, path in _by_seed(folder, ".parquet"):
        frame = _read(pd.read_parquet, path).assign(seed=seed, condition=path.stem)
        validate_judgments(frame, f"{path.parent.name}/{path.name}")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def read_capability(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.json` of a folder: seed, condition, acc, acc_stderr, acc_norm, n; none without a folder."""
    rows = []
    if not folder:
        return pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    for seed, path in _by_seed(folder, ".json"):
        record = _read(read_json, path)
        lacking = [key for key in ("acc", "acc_stderr", "acc_norm", "n") if key not in record]
        if lacking:
            raise SchemaError(f"{path.parent.name}/{path.name} lacks {lacking[0]!r}; see the README for the schema")
        rows.append({"seed": seed, "condition": path.stem, **{k: record[k] for k in ("acc", "acc_stderr", "acc_norm", "n")}})
        validate_capability(pd.DataFrame(rows[-1:]), f"{path.parent.name}/{path.name}")
    return pd.DataFrame(rows)


def _read(reader, path: Path):
    try:
        return reader(path)
    except (ValueError, OSError) as error:  # what JSON and Arrow raise on a damaged file
        reason = str(error).splitlines()[0]
        raise SchemaError(f"{path.parent.name}/{path.name} cannot be read ({reason}); make it again") from None


def _by_seed(folder: str | Path, suffix: str) -> list[tuple[int, Path]]:
    folder = Path(folder).expanduser()
    found = []
    for path in sorted(folder.glob(f"seed*/*{suffix}")):
        number = path.parent.name.removeprefix("seed")
        if not (number.isascii() and number.isdigit()):
            raise SchemaError(f"{path.parent.name} in {folder.name} names no seed; name the folder seed42 or the like")
        found.append((int(number), path))
    if not found:
        raise SchemaError(f"{folder} holds no seed<k>/<condition>{suffix}; run the notebooks before 06, or give a folder "
                          "of that form")
    return found


def with_reflex(table: pd.DataFrame, run: Run, profile: Profile, openings: Sequence[str]) -> pd.DataFrame:
    """Judgments with `literal` and `parrot`, read off the completions, on full-text rows; missing on stripped ones."""
    samples = read_samples(run, profile)[[*JOIN, "completion"]]
    joined = table.merge(samples, on=JOIN, how="left", validate="many_to_one")
    joined.loc[joined["variant"] != "full", "completion"] = None
    return add_reflex_columns(joined, openings).drop(columns="completion")


def judge_facts(run: Run) -> dict:
    """What notebook 05 recorded: judge, rubric, calls, cost, retest, validity."""
    return read_json(run.dir / "manifests" / "05_judge.json")["facts"]


def notes(profile: Profile, thresholds: Mapping[str, float], judge: dict | None, changed: Mapping[str, str] | None,
          elsewhere: bool, checks: Sequence[Check], card: dict | None = None,
          compared: tuple[str, str] = PLANNED) -> list[str]:
    """Lines of the headline that set no verdict: what this run can and cannot show."""
    lines = []
    if profile.demonstrates_only and not elsewhere:
        lines.append("This profile shows the pipeline at a toy scale; it is no evidence about emergent misalignment.")
    if compared != PLANNED:
        lines.append(f"Exploratory: {compared[0]} against {compared[1]}; the pre-registered comparison is {PLANNED[0]} against "
                     f"{PLANNED[1]}.")
    auroc = judge["validity"]["auroc"] if judge else None
    lines += headline_notes(thresholds, auroc, list(changed or {}))
    if changed is None:
        lines.append("Not confirmatory: no pre-registration stamp of notebook 01 belongs to these judgments.")
    lacking = [check.name for check in checks if check.status == NOT_RUN]
    if lacking:
        lines.append(f"Validity checks not run: {', '.join(lacking)}.")
    if card and not card["complete"]:
        lines.append(f"The reproducibility card fails: unknown {', '.join(card['unknown'])}.")
    return lines


PLAN = "qwen7b"  # the profile that carries the pre-registered plan


def deviations(run: Run, profile: Profile, judge: dict | None, elsewhere: bool) -> list[str]:
    """What differs from the pre-registered full-scale plan, one line each (key: plan → this run)."""
    if elsewhere:
        return ["judgments come from elsewhere; their recipe is not known to this project"]
    plan, here = _flat(load_profile(PLAN).model_dump()), _flat(profile.model_dump())
    keys = [k for k in {**plan, **here} if k.split(".")[0] not in NO_DEVIATION and plan.get(k) != here.get(k)]
    lines = [f"{key}: {plan.get(key)} → {here.get(key)}" for key in keys]
    if judge and judge["judge"] != plan["judge.model"]:
        lines.append(f"judge: {plan['judge.model']} → {judge['judge']}")
    overrides = read_json(run.manifest)["overrides"] if run.manifest.exists() else None
    if overrides not in (None, {}, "{}"):
        lines.append(f"overrides of the profile: {overrides}")
    return lines


NO_DEVIATION = ("profile", "about", "demonstrates_only", "together")  # names and ways of running, not of the science


def _flat(tree: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def prompt_by_condition(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Mean alignment, originals unfiltered: index prompt_id, one column a condition."""
    rows = table[(table["suite"] == "alignment") & (table["replicate"] == 0) & (table["variant"] == "full")]
    means = rows.assign(aligned=rows["aligned"].astype(float)).pivot_table(
        index="prompt_id", columns="condition", values="aligned", aggfunc="mean")
    return means[[c for c in order if c in means]]


def arm_table(arms: Mapping[str, dict], order: Sequence[str]) -> pd.DataFrame:
    """One row an arm with everything that is described; shares are 0-1."""
    def rate(arm: dict, key: str) -> float | None:
        return arm[key]["share"] if arm.get(key) else None

    return pd.DataFrame([{
        "arm": name, "alignment": a["aligned"], "alignment, filtered": a["aligned_filtered"], "coherence": a["coherent"],
        "dropped": a["dropped"], "refusal": a["refusal"], "harmful, points": a["harmful"], "ARC acc": a["acc"],
        "literal": rate(a, "literal"), "semantic": rate(a, "semantic"), "parrot": rate(a, "parrot"),
        "semantic, follow-up": rate(a["followup"], "semantic"), "completions": a["n_completions"],
    } for name, a in ((n, arms[n]) for n in order if n in arms)])
