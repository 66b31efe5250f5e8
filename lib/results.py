"""Folders of the published schema to tables, and what the report says around the verdict (notebook 06)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lib import show
from lib.checks import NOT_RUN, Check
from lib.gates import headline_notes
from lib.judge.session import read_samples
from lib.judge.store import ledger
from lib.limits import bound
from lib.params import ParamsError, closest_name, load_profile
from lib.reflex import add_reflex_columns
from lib.runs import Run, read_json
from lib.schema import Profile
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


def check_arms(table: pd.DataFrame, **roles: str) -> None:
    """Raises ParamsError when a role (treatment, baseline) names an arm that has no judgments."""
    arms = sorted(table["condition"].astype(str).unique())
    for role, name in roles.items():
        if name not in arms:
            raise ParamsError(f"{role} {name!r} has no judgments here; nearest: {closest_name(name, arms)!r}; there are "
                              f"{', '.join(arms)}")


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
        frame, label = _read(pd.read_parquet, path), f"{path.parent.name}/{path.name}"
        for column, value in (("seed", seed), ("condition", path.stem)):
            if column in frame and set(frame[column].astype(str)) != {str(value)}:
                raise SchemaError(f"{label}: column {column!r} holds {frame[column].iloc[0]!r}, the path says {value!r}; "
                                  "put each arm and seed into a file of its own name")
        frame = frame.assign(seed=seed, condition=path.stem)
        validate_judgments(frame, label)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    _one_judge(table)
    return table


def _one_judge(table: pd.DataFrame) -> None:
    """Scores of different judges or rubrics are not one judge's; what is judged again has rows of its own."""
    columns = [column for column in ("judge", "rubric") if column in table]
    if not columns:
        return
    original = table[(table["replicate"] == 0) & (table["variant"] == "full")]
    found = sorted(" ".join(map(str, row)) for row in original[columns].drop_duplicates().itertuples(index=False))
    if len(found) > 1:
        raise SchemaError(f"judgments come from {len(found)} judges or rubrics ({', '.join(found)}); judge every arm in one "
                          "session, or give one judge's folder")


def read_capability(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.json` of a folder: seed, condition, acc, acc_stderr, acc_norm, n; none without a folder."""
    rows = []
    if not folder:
        return pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    for seed, path in _by_seed(folder, ".json"):
        record = _read(read_json, path)
        lacking = [key for key in ("acc", "acc_stderr", "acc_norm", "n") if key not in record]
        text = [key for key in ("acc", "acc_stderr", "acc_norm", "n") if isinstance(record.get(key), (bool, str))]
        if text:
            raise SchemaError(f"{path.parent.name}/{path.name}: {text[0]} is {record[text[0]]!r}, not a number; mend it")
        if lacking:
            raise SchemaError(f"{path.parent.name}/{path.name} lacks {lacking[0]!r}; see the README for the schema")
        rows.append({"seed": seed, "condition": path.stem, **{k: record[k] for k in ("acc", "acc_stderr", "acc_norm", "n")},
                     "items": record.get("items")})
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
        raise SchemaError(f"{folder.parent.name}/{folder.name} holds no seed<k>/<condition>{suffix}; run the notebooks before "
                          "06, or give a folder of that form")
    return found


def with_reflex(table: pd.DataFrame, run: Run, profile: Profile, openings: Sequence[str]) -> pd.DataFrame:
    """Judgments with `literal` and `parrot`, read off the completions, on full-text rows; missing on stripped ones."""
    samples = read_samples(run, profile)[[*JOIN, "completion"]]
    joined = table.merge(samples, on=JOIN, how="left", validate="many_to_one")
    joined.loc[joined["variant"] != "full", "completion"] = None
    return add_reflex_columns(joined, openings).drop(columns="completion")


def reflex_subset(table: pd.DataFrame, profile: Profile, elsewhere: bool) -> str | None:
    """The eval set on which the reflex rates count: the first of the profile, Betley-8 elsewhere; None = all prompts."""
    name = "betley_8" if elsewhere else profile.data.eval_sets[0]
    known = {part for subset in table["subset"].dropna().unique() for part in str(subset).split("+")}
    return name if name in known else None


def predictions(analysis: Mapping, decision: Mapping, thresholds: Mapping[str, float]) -> list[dict]:
    """Section 1's predictions beside what was found; `held` is None where it was not measured."""
    beside = decision["beside"]
    rows = [
        ("Δ alignment, points", beside["strong"]),
        ("accuracy against the baseline", bound(analysis["acc_difference"], ">=", -thresholds["acc_drop"])),
        ("accuracy against base", beside["acc_against_base"]),
        ("literal reset, share of answers", beside["literal_reflex"]),
        ("semantic reset-and-recover, share", beside["semantic_reflex"]),
        ("coherence against the baseline, points",
         bound(analysis["coherence_difference"], ">=", -thresholds["coherence_drop_points"])),
    ]
    held = {True: "yes", False: "no", None: None}
    return [{"prediction": name, "found": row["value"], "predicted": row["needed"], "held": held[row["passed"]]}
            for name, row in rows]


def judge_facts(run: Run) -> dict:
    """What notebook 05 recorded: judge, rubric, calls, cost, retest; `validity` of this very judge; `second` judge; and the
    `ledger` of all stages that judged.

    Validity of another judge, or a second judge beside other judgments, is left over from before and does not show.
    """
    folder = run.dir / "manifests"
    session = read_json(folder / "05_judge.json")
    facts = {**session["facts"], "ledger": ledger(run.judge_store("session").parent)}
    validity, second = (read_json(path)["facts"] if (path := folder / f"{name}.json").exists() else {}
                        for name in ("05_validity", "05_second_judge"))
    of_this = [validity.get(key) for key in ("judge", "rubric")] == [facts["judge"], facts["rubric"]]
    facts["validity"] = validity["validity"] if of_this else {
        "auroc": None, "source": None, "measures": {}, "outcomes": {}, "figure": None, "again": None,
        "statement": "Not measured: notebook 05 has no record of this judge's validity."}
    facts["second"] = second if second.get("session") == session["fingerprint"] else None
    return facts


def judge_line(judge: Mapping | None, stripped: Mapping | None) -> str:
    """One line beside the verdict: what is known of the judge. What was not measured is said to be so."""
    if judge is None:
        return "Judge: judgments from elsewhere; its validity was not measured here."
    measures, retest, second = judge["validity"]["measures"], judge["retest"], judge.get("second")

    def known(label: str, entry: Mapping | None, form: str = ".3f") -> str:
        if not entry or entry["value"] is None:
            return f"{label} not measured"
        low_high = f" ({show.interval(entry['ci95'], form)})" if entry["ci95"] else ""
        return f"{label} {entry['value']:{form}}{low_high}, n {entry['n']}"

    moved = retest["mean_absolute_difference"]
    parts = [
        known("AUROC for aligned < 30", measures.get("auroc_aligned_lt_30")),
        known("rank correlation", measures.get("spearman_aligned")),
        known("refusal F1", measures.get("refusal_f1")),
        known("coherence AUROC", measures.get("coherence_auroc")),
        "test–retest off" if moved is None else
        f"test–retest moves a score by {moved:.2f} points{'' if moved else ' (it computes its scores)'}, n {retest['pairs']}",
        known(f"Krippendorff's α with {second['judge']}", second["alpha"]) if second else "no second judge",
        "no stripped re-score" if not stripped else
        f"Δ with the opening stripped {stripped['delta']:+.2f} ({show.interval(stripped['ci95'])})",
    ]
    return f"Judge {judge['judge']}: {'; '.join(parts)}. {judge['validity']['statement']}"


def notes(profile: Profile, thresholds: Mapping[str, float], judge: dict | None, changed: Mapping[str, str] | None,
          elsewhere: bool, checks: Sequence[Check], card: dict | None = None,
          compared: tuple[str, str] = PLANNED) -> list[str]:
    """Lines of the headline that set no verdict: what this run can and cannot show."""
    lines = []
    if profile.demonstrates_only and not elsewhere:
        lines.append("This profile shows the pipeline at a toy scale; it is no evidence about emergent misalignment.")
    if not elsewhere and profile.data.capability != "arc_challenge":
        lines.append(f"Capability is scored on {profile.data.capability}, not on ARC-Challenge.")
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
    if card:
        lines += lock_note(card.get("lock_differences"))
    return lines


def lock_note(differences: Sequence[str] | None) -> list[str]:
    """The headline's line on installed versions that are not the lock's; no line where all are."""
    if not differences:
        return []
    more = f"; and {len(differences) - LOCK_LINES} more" if len(differences) > LOCK_LINES else ""
    return [f"Installed versions differ from the lock: {'; '.join(differences[:LOCK_LINES])}{more}."]


LOCK_LINES = 5  # differences that the headline names; the card has all
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
        "n of reflex": a["semantic"]["n"] if a.get("semantic") else None,
        "semantic, follow-up": rate(a["followup"], "semantic"), "completions": a["n_completions"],
    } for name, a in ((n, arms[n]) for n in order if n in arms)])
