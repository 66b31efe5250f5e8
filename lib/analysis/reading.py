"""Folders of the published schema, from this project or from elsewhere, to tables (docs/protocol.md sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.inputs import (
    CAPABILITY_COLUMNS,
    SCORES,
    SchemaError,
    exact_keys,
    validate_capability,
    validate_judgments,
)
from lib.config import roles
from lib.config.params import ParamsError, closest_name
from lib.data import columns
from lib.data.text_files import parse_json, read_text
from lib.run.runs import Run

PLANNED = roles.PLANNED.compared  # the one comparison that was pre-registered
FEW_ROWS = 20  # below it a narrow range of scores may be chance
NUMBERS = ("acc", "acc_stderr", "acc_norm", "n")


def check_source(run: Run, run_name: str, judgments: str, capability: str) -> None:
    """Raises ValueError when judgments from elsewhere would overwrite, or be mixed with, a run's own."""
    if capability and not judgments:
        raise ValueError("capability from elsewhere needs its judgments too; give -p judgments DIR")
    if judgments and not run_name:
        raise ValueError("judgments from elsewhere need a run name of their own; give -p run NAME")
    if judgments and run.manifest.exists():
        raise ValueError(
            f"run {run.name!r} has artifacts of its own; give judgments from elsewhere another -p run NAME"
        )


def check_arms(table: pd.DataFrame, **roles: str) -> None:
    """Raises ParamsError when a role (treatment, baseline) names an arm that has no judgments, or both name one."""
    arms = sorted(table["condition"].astype(str).unique())
    for role, name in roles.items():
        if name not in arms:
            raise ParamsError(
                f"{role} {name!r} has no judgments here; nearest: {closest_name(name, arms)!r}; there are "
                f"{', '.join(arms)}"
            )
    if len(set(roles.values())) < len(roles):
        raise ParamsError(
            f"{' and '.join(roles)} are both {next(iter(roles.values()))!r}; name two arms"
        )


def target(run: Run, treatment: str, baseline: str, elsewhere: bool) -> Path:
    """Where the result goes: `stats/`, and a folder below it for any comparison but the planned one, whoever judged."""
    planned = (treatment, baseline) == PLANNED
    return run.result.parent if planned else run.result.parent / f"{treatment}_vs_{baseline}"


def read_judgments(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.parquet` of a folder, with seed and condition, each file checked against the schema.

    Keys come back exact: ids as text, counts as whole numbers. Raises SchemaError naming the file, the column and the
    row, or when there is no file.
    """
    frames = []
    for seed, path in _by_seed(folder, ".parquet"):
        label = f"{path.parent.name}/{path.name}"
        frame = _read_parquet(path, label)
        for column, value in (("seed", seed), ("condition", path.stem)):
            if column in frame and set(frame[column].astype(str)) != {str(value)}:
                raise SchemaError(
                    f"{label}: column {column!r} holds {frame[column].iloc[0]!r}, the path says {value!r}; "
                    "put each arm and seed into a file of its own name"
                )
        if frame.empty:
            continue  # an arm without rows is named as missing later
        frame = frame.assign(seed=seed, condition=path.stem)
        validate_judgments(frame, label)
        _check_scale(frame, label, whole_table=False)
        # Before the files are joined: a column of floats beside one of integers would round them all.
        keys = {column: np.asarray(values) for column, values in exact_keys(frame, label).items()}
        frames.append(frame.assign(**keys))
    if not frames:
        raise SchemaError(
            f"{Path(folder).name} holds tables without a row; judge the samples first"
        )
    table = pd.concat(frames, ignore_index=True)
    _check_scale(table, "judgments", whole_table=True)
    judges(table)
    return table


def judges(table: pd.DataFrame) -> list[dict[str, str]]:
    """The one judge and rubric of each suite; suites may differ. Raises SchemaError where a suite has two.

    What is judged again (replicate 1 and above) has a judge of its own.
    """
    known = [column for column in ("judge", "rubric") if column in table]
    found = []
    for suite, rows in table[table["replicate"] == 0].groupby("suite", sort=True) if known else ():
        pairs = rows[known].fillna("not named").astype(str).drop_duplicates()
        if len(pairs) > 1:
            named = ", ".join(sorted(" ".join(row) for row in pairs.itertuples(index=False)))
            raise SchemaError(
                f"suite {suite!r}: its judgments come from {len(pairs)} judges or rubrics ({named}); judge all "
                "arms of a suite in one session, or give one judge's folder"
            )
        found.append(
            {"suite": str(suite), "judge": "not named", "rubric": "not named"}
            | pairs.iloc[0].to_dict()
        )
    return found


def _check_scale(table: pd.DataFrame, label: str, *, whole_table: bool) -> None:
    """Raises SchemaError where scores are shares (0-1) instead of points: no threshold in points would hold for them.

    One arm may hold nothing but the points 0 and 1, so that there only fractions give the scale away.
    """
    for column in SCORES:
        scores = _scored(table, column)
        shares = whole_table or (scores % 1 != 0).any()
        if shares and len(scores) >= FEW_ROWS and 0 < scores.max() <= 1:
            raise SchemaError(
                f"{label}: column {column!r}: all {len(scores)} scores lie within {scores.min():.4g} to "
                f"{scores.max():.4g}, a scale of 0-1; gates read points, multiply the column by 100"
            )


def scale_notes(table: pd.DataFrame) -> list[str]:
    """Lines for the headline: score columns of an arm that never pass 10, as on a scale of 1-10."""
    lines = []
    for column in SCORES:
        parts = (
            {"every arm": table}
            if 0 <= _scored(table, column).max() <= 10
            else {
                f"{arm}, seed {seed}": rows
                for (arm, seed), rows in table.groupby(["condition", "seed"], observed=True)
                if len(_scored(rows, column)) >= FEW_ROWS and _scored(rows, column).max() <= 10
            }
        )
        for part, rows in parts.items():
            scores = _scored(rows, column)
            lines.append(
                f"Scores of {part} may be on another scale: column {column!r} lies within {scores.min():.4g} to "
                f"{scores.max():.4g} in all {len(scores)} scored rows. Gates read points 0-100; on a scale of 1-10, "
                "convert the column and score again."
            )
    return lines


def _scored(table: pd.DataFrame, column: str) -> pd.Series:
    return table.loc[table["outcome"] == "scored", column].astype(float).dropna()


def alike_prompts(table: pd.DataFrame, first: str, second: str) -> list[str]:
    """One line for each prompt id of one arm that the other has only with other white space, case or invisible signs."""
    rows = table[table["suite"] == "alignment"]
    own, other = (set(rows.loc[rows["condition"] == arm, "prompt_id"]) for arm in (first, second))
    pairs = {name: columns.lookalike(name, other - own) for name in sorted(own - other)}
    return [
        f"alignment: {first} has the prompt {name!r}, {second} has {twin!r}: equal but for white space, case or invisible "
        "signs, so they are not paired; give both arms one id"
        for name, twin in pairs.items()
        if twin is not None
    ]


def read_capability(folder: str | Path) -> pd.DataFrame:
    """Every `seed<k>/<condition>.json` of a folder: seed, condition, acc, acc_stderr, acc_norm, n; none without a folder."""
    rows = []
    if not folder:
        return pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    for seed, path in _by_seed(folder, ".json"):
        label = f"{path.parent.name}/{path.name}"
        record = _read_record(path, label)
        lacking = [key for key in NUMBERS if key not in record]
        text = [key for key in NUMBERS if isinstance(record.get(key), (bool, str))]
        if text:
            raise SchemaError(f"{label}: {text[0]} is {record[text[0]]!r}, not a number; mend it")
        if lacking:
            alike = columns.lookalike(lacking[0], record)
            hint = f" ({alike!r} looks like it)" if alike is not None else ""
            raise SchemaError(f"{label} lacks {lacking[0]!r}{hint}; see the README for the schema")
        rows.append(
            {
                "seed": seed,
                "condition": path.stem,
                **{key: record[key] for key in NUMBERS},
                "items": record.get("items"),
            }
        )
        validate_capability(
            pd.DataFrame(
                {key: pd.Series([value], dtype=object) for key, value in rows[-1].items()}
            ),
            label,
        )
    return pd.DataFrame(rows)


def _read_record(path: Path, label: str) -> Mapping[str, Any]:
    try:
        record = parse_json(read_text(path))
    except (ValueError, OSError) as error:  # DataError is a ValueError
        raise SchemaError(f"{label} cannot be read ({_reason(error)}); make it again") from None
    if not isinstance(record, dict):
        kind = "null" if record is None else f"a {type(record).__name__}"
        raise SchemaError(
            f"{label} holds {kind}, not an object with {', '.join(NUMBERS)}; make it again"
        )
    return record


def _read_parquet(path: Path, label: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (
        ValueError,
        TypeError,
        OSError,
        NotImplementedError,
    ) as error:  # what Arrow raises on a damaged file
        raise SchemaError(f"{label} cannot be read ({_reason(error)}); make it again") from None
    for column in frame.columns:
        try:
            list(frame[column])
        except UnicodeDecodeError:
            raise SchemaError(
                f"{label}: column {column!r}, row {_undecodable(frame[column])}: its bytes are not UTF-8 text; "
                "mend the row"
            ) from None
    return frame


def _undecodable(values: pd.Series) -> int:
    """The first row whose text cannot be decoded."""
    for row in range(len(values)):
        try:
            values.iloc[row]
        except UnicodeDecodeError:
            return row
    raise AssertionError("every row can be decoded")


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _by_seed(folder: str | Path, suffix: str) -> list[tuple[int, Path]]:
    folder = Path(folder).expanduser()
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.glob(f"seed*/*{suffix}")):
        number = path.parent.name.removeprefix("seed")
        if not (number.isascii() and number.isdigit()):
            raise SchemaError(
                f"{path.parent.name} in {folder.name} names no seed; name the folder seed42 or the like"
            )
        twin = next(
            (other for seed, other in found if seed == int(number) and other.parent != path.parent),
            None,
        )
        if twin is not None:
            raise SchemaError(
                f"{twin.parent.name} and {path.parent.name} in {folder.name} are one seed; keep one folder"
            )
        found.append((int(number), path))
    if not found:
        other = next(folder.glob("seed*/*.csv"), None)
        hint = (
            f"; {other.parent.name}/{other.name} is CSV, save it as {suffix[1:]}" if other else ""
        )
        raise SchemaError(
            f"{folder.parent.name}/{folder.name} holds no seed<k>/<condition>{suffix}{hint}; run the notebooks "
            "before 06, or give a folder of that form"
        )
    return found
