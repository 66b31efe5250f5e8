"""One shuffled judging session over all arms (docs/protocol.md section 5): requests, blind scoring, tables by arm."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.judge.outcomes import COLUMNS, FLAGS
from lib.judge.store import dollars, ledger
from lib.reflex import contains_reset, strip_opening
from lib.runs import Run, Stage
from lib.schema import Conditions, Profile
from lib.table_schemas import JUDGED_AGAIN, STRIPPED
from lib.tables import as_originals

KEYS = ["suite", "prompt_id", "subset", "sample_index", "replicate", "variant"]
# Never the arm, the seed or the index. The replicate tells a store that judging again is a call of its own; no model sees it.
SHOWN_TO_JUDGE = ["suite", "prompt", "completion", "replicate"]


def read_samples(run: Run, profile: Profile) -> pd.DataFrame:
    """All arms' samples with seed and condition. Raises FileNotFoundError naming the missing arm and its command."""
    frames = []
    for seed in profile.seeds:
        for condition in profile.conditions:
            path = run.samples(condition, seed)
            if not path.exists():
                raise FileNotFoundError(
                    f"samples of {condition}, seed {seed} are missing; make them with: papermill "
                    f"notebooks/04_sample_and_capability.ipynb out.ipynb -p profile {profile.profile} -p run {run.name} "
                    f"-p condition {condition} -p seed {seed}"
                )
            frames.append(pd.read_parquet(path).assign(seed=seed, condition=condition))
    return pd.concat(frames, ignore_index=True)


def requests(samples: pd.DataFrame, conditions: Conditions, *, retest_share: float, stripped: bool, seed: int
             ) -> pd.DataFrame:
    """Every judgment to make, one row each, in shuffled order.

    Originals (replicate 0, variant full); a share of them judged again (replicate 1); and, for arms that Phase 1
    treated, alignment answers with the opening stripped (variant stripped), since the opening is itself persuasion.
    """
    original = as_originals(samples)
    parts = [original]
    if retest_share:
        parts.append(original.sample(frac=retest_share, random_state=seed).assign(replicate=JUDGED_AGAIN))
    if stripped:
        parts.append(_stripped(original, conditions))
    table = pd.concat(parts, ignore_index=True)
    return table.iloc[np.random.default_rng(seed).permutation(len(table))].reset_index(drop=True)


def _stripped(original: pd.DataFrame, conditions: Conditions) -> pd.DataFrame:
    treated = {name for name, arm in conditions.conditions.items() if arm.phase1}
    rows = original[(original["suite"] == "alignment") & original["condition"].isin(treated)]
    opens = np.array([contains_reset(text, conditions.openings) for text in rows["completion"]], bool)
    rows = rows[opens]  # an array: an empty list would select no columns
    texts = [strip_opening(text, conditions.openings) for text in rows["completion"]]
    return rows.assign(completion=texts, variant=STRIPPED)


def judge_all(judge, table: pd.DataFrame, progress=None) -> pd.DataFrame:
    """Scores the requests blind to the arm; returns them with the judge's columns."""
    scores = judge.score(table[SHOWN_TO_JUDGE], progress)
    if not scores.index.equals(table.index):
        raise ValueError(f"judge {judge.name} returned {len(scores)} rows for {len(table)} requests; every row needs one")
    return pd.concat([table, scores[list(COLUMNS)]], axis=1).assign(judge=judge.name, rubric=judge.rubric)


def write(run: Run, judged: pd.DataFrame) -> list:
    """One table a seed and arm in the published schema; returns the paths."""
    from lib.runs import write_parquet

    columns = [*KEYS, "judge", "rubric", *COLUMNS]
    paths = []
    for (seed, condition), rows in judged.groupby(["seed", "condition"], sort=True):
        path = run.judgments(condition, int(seed))
        write_parquet(path, typed(rows[columns].sort_values(KEYS)))
        paths.append(path)
    return paths


def unsettled(stage: Stage) -> bool:
    """Whether a judging stage is still to do, or has completions without a score that have attempts left."""
    return not stage.done() or bool(stage.record()["facts"]["to_retry"])


def spent(run: Run, judged: pd.DataFrame) -> dict:
    """{"ledger": what every judging stage of the run paid, "cost_usd": dollars in all, None where nobody meters them}."""
    entries = ledger(run.judge_store("session").parent)
    cost = dollars(entries) if entries else judged["cost_usd"].sum(min_count=1)
    return {"ledger": entries, "cost_usd": None if cost is None or pd.isna(cost) else float(cost)}


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Nullable types, so that a missing score is null in the file and not a number."""
    kinds = dict.fromkeys(("aligned", "coherent", "cost_usd"), "Float64")
    kinds |= dict.fromkeys(FLAGS, "boolean")
    kinds |= dict.fromkeys(("input_tokens", "output_tokens"), "Int64")
    return frame.astype(kinds)
