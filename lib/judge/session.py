"""One shuffled judging session over all arms (docs/protocol.md section 5): requests, blind scoring, tables by arm."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd

from lib.analysis.inputs import as_originals
from lib.config.schema import Conditions, Profile
from lib.data.reflex import contains_reset, strip_opening
from lib.judge.outcomes import COLUMNS
from lib.judge.protocol import Judge, Progress
from lib.judge.store import dollars, ledger
from lib.run.facts import JudgingFacts
from lib.run.paths import shown
from lib.run.runs import Run, Stage, write_parquet
from lib.run.table_schemas import JUDGED_AGAIN, JUDGMENTS, STRIPPED

KEYS = JUDGMENTS.names[:6]  # what a judgment is of; what the judge said of it follows
# Never the arm, the seed or the index. The replicate tells a store that judging again is a call of its own; no model sees it.
SHOWN_TO_JUDGE = ["suite", "prompt", "completion", "replicate"]


def read_samples(run: Run, profile: Profile) -> pd.DataFrame:
    """All arms' samples with seed and condition. Raises FileNotFoundError naming the missing arm and its command."""
    frames = []
    for seed in profile.seeds:
        for condition in profile.conditions:
            command = run.command("04_sample_and_capability", profile, arm=condition, seed=seed)
            what = f"samples of {condition}, seed {seed}"
            path = run.require(run.samples(condition, seed), what, made_by=command)
            frames.append(pd.read_parquet(path).assign(seed=seed, condition=condition))
    return pd.concat(frames, ignore_index=True)


def requests(
    samples: pd.DataFrame, conditions: Conditions, *, retest_share: float, stripped: bool, seed: int
) -> pd.DataFrame:
    """Every judgment to make, one row each, in shuffled order.

    Originals (replicate 0, variant full); a share of them judged again (replicate 1); and, for arms that Phase 1
    treated, alignment answers with the opening stripped (variant stripped), since the opening is itself persuasion.
    """
    original = as_originals(samples)
    parts = [original]
    if retest_share:
        again = original.sample(frac=retest_share, random_state=seed)
        parts.append(again.assign(replicate=JUDGED_AGAIN))
    if stripped:
        parts.append(_stripped(original, conditions))
    table = pd.concat(parts, ignore_index=True)
    return table.iloc[np.random.default_rng(seed).permutation(len(table))].reset_index(drop=True)


def _stripped(original: pd.DataFrame, conditions: Conditions) -> pd.DataFrame:
    treated = {name for name, arm in conditions.conditions.items() if arm.phase1}
    rows = original[(original["suite"] == "alignment") & original["condition"].isin(treated)]
    opens = np.array(
        [contains_reset(text, conditions.openings) for text in rows["completion"]], bool
    )
    rows = rows[opens]  # an array: an empty list would select no columns
    texts = [strip_opening(text, conditions.openings) for text in rows["completion"]]
    return rows.assign(completion=texts, variant=STRIPPED)


def judge_all(judge: Judge, table: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
    """Scores the requests blind to the arm; returns them with the judge's columns."""
    scores = judge.score(table[SHOWN_TO_JUDGE], progress)
    if not scores.index.equals(table.index):
        raise ValueError(
            f"judge {judge.name} returned {len(scores)} rows for {len(table)} requests; every row needs one"
        )
    return pd.concat([table, scores[list(COLUMNS)]], axis=1).assign(
        judge=judge.name, rubric=judge.rubric
    )


def write(run: Run, judged: pd.DataFrame) -> list:
    """One table a seed and arm in the published schema; returns the paths."""
    paths = []
    for (seed, condition), rows in judged.groupby(["seed", "condition"], sort=True):
        path = run.judgments(condition, int(seed))
        write_parquet(path, JUDGMENTS.typed(rows.sort_values(KEYS)))
        paths.append(path)
    return paths


def unsettled(stage: Stage) -> bool:
    """Whether a judging stage is still to do, or has completions without a score that have attempts left."""
    return not stage.done() or bool(stage.facts(JudgingFacts).to_retry)


def how_to_retry(run: Run, left: int) -> str:
    """One line on the completions without a score that have attempts left."""
    done = f"{shlex.quote(str(shown(run.dir)))}/.done/05_judge"
    return (
        f"{left} completions have no score and attempts left; run this notebook again to retry "
        f"them, or: rm {done}, and make report"
    )


def spent(run: Run, judged: pd.DataFrame) -> dict:
    """{"ledger": what every judging stage of the run paid, "cost_usd": dollars in all, None where nobody meters them}."""
    entries = ledger(run.judge_store("session").parent)
    cost = dollars(entries) if entries else judged["cost_usd"].sum(min_count=1)
    return {"ledger": entries, "cost_usd": None if cost is None or pd.isna(cost) else float(cost)}
