"""One shuffled judging session over all arms: requests, blind scoring, tables by arm.

Source: docs/protocol.md section 5.
"""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.inputs import as_originals
from lib.config.experiment import Experiment
from lib.config.schema import Conditions, Profile
from lib.data.reflex import contains_reset, strip_opening
from lib.judge.outcomes import COLUMNS
from lib.judge.protocol import Judge, Progress
from lib.judge.store import dollars, ledger
from lib.run.files import write_parquet
from lib.run.judging_facts import JudgingFacts
from lib.run.paths import shown
from lib.run.runs import Run
from lib.run.stage import Stage
from lib.run.table_schemas import JUDGED_AGAIN, JUDGMENTS, STRIPPED
from lib.serving import elicited
from lib.serving.sampling import SamplingError

KEYS = JUDGMENTS.names[:6]  # the columns that name what was judged
# Never the arm, the seed or the index. `replicate` is for the judge's store, so that judging again
# is a new call. No model sees it.
SHOWN_TO_JUDGE = ["suite", "prompt", "completion", "replicate"]


def read_samples(run: Run, profile: Profile) -> pd.DataFrame:
    """All arms' samples with seed and condition.

    Raises FileNotFoundError that names the missing arm and the command that makes it, and
    SamplingError if a persona was called up in another way than the profile says.
    """
    experiment = Experiment.of(profile)
    frames = []
    for seed, condition in itertools.product(profile.seeds, profile.conditions):
        command = run.command("04_sample_and_capability", profile, arm=condition, seed=seed)
        what = f"samples of {condition}, seed {seed}"
        path = run.require(run.samples(condition, seed), what, made_by=command)
        samples = pd.read_parquet(path)
        wanted = experiment.elicitation(condition)
        if fault := elicited.check_samples(samples, condition, wanted):
            raise SamplingError(f"{fault} (seed {seed}); sample them again: {command}")
        frames.append(samples.assign(seed=seed, condition=condition))
    return pd.concat(frames, ignore_index=True)


def requests(
    samples: pd.DataFrame, conditions: Conditions, *, retest_share: float, stripped: bool, seed: int
) -> pd.DataFrame:
    """Every judgment to make, one row each, in shuffled order.

    - the originals: replicate 0, variant full;
    - a share of them again: replicate 1;
    - alignment answers of treated arms without their opening, which may persuade a judge: variant
      stripped.

    Args:
        samples: of all arms, with seed and condition.
        conditions: the arms, and the recovery's openings.
        retest_share: share of the originals that is judged again, 0 to 1.
        stripped: whether to judge answers without their opening.
        seed: of the order and of the share.
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
    """Alignment answers of treated arms that open with a reset, without that opening."""
    treated = {name for name, arm in conditions.conditions.items() if arm.phase1}
    rows = original[(original["suite"] == "alignment") & original["condition"].isin(treated)]
    opens = np.array(
        [contains_reset(text, conditions.openings) for text in rows["completion"]], bool
    )
    rows = rows[opens]  # an array: an empty list would select no columns
    texts = [strip_opening(text, conditions.openings) for text in rows["completion"]]
    return rows.assign(completion=texts, variant=STRIPPED)


def judge_all(judge: Judge, table: pd.DataFrame, progress: Progress | None = None) -> pd.DataFrame:
    """Score the requests without showing their arm. Returns them with the judge's columns.

    Raises ValueError if the judge returns other rows than it was given.
    """
    scores = judge.score(table[SHOWN_TO_JUDGE], progress)
    if not scores.index.equals(table.index):
        raise ValueError(
            f"judge {judge.name} returned {len(scores)} rows for {len(table)} requests; every row "
            "needs one"
        )
    judged = pd.concat([table, scores[list(COLUMNS)]], axis=1)
    return judged.assign(judge=judge.name, rubric=judge.rubric)


def write(run: Run, judged: pd.DataFrame) -> list[Path]:
    """Write one table per seed and arm in the published schema; returns the paths."""
    paths = []
    for _, rows in judged.groupby(["seed", "condition"], sort=True):
        path = run.judgments(rows["condition"].iloc[0], int(rows["seed"].iloc[0]))
        write_parquet(path, JUDGMENTS.typed(rows.sort_values(KEYS)))
        paths.append(path)
    return paths


def unsettled(stage: Stage) -> bool:
    """Whether a judging stage is not finished, or has unscored completions with attempts left.

    If so, it is this process's to make until `finish`.
    """
    if not stage.done():
        return True
    if not stage.facts(JudgingFacts).to_retry:
        return False
    stage.take_again()
    if stage.facts(JudgingFacts).to_retry:
        return True
    return not stage.done()  # another process asked meanwhile; this lets the stage go


def how_to_retry(run: Run, left: int) -> str:
    """One line on the unscored completions that have attempts left, and how to retry them."""
    done = f"{shlex.quote(str(shown(run.dir)))}/.done/05_judge"
    return (
        f"{left} completions have no score and attempts left; run this notebook again to retry "
        f"them, or: rm {done}, and make report"
    )


def spent(run: Run, judged: pd.DataFrame) -> dict[str, Any]:
    """What the judging stages of a run cost.

    Returns `ledger`, what every stage paid, and `cost_usd`, dollars in total; None if nobody meters
    them.
    """
    entries = ledger(run.judge_store("session").parent)
    cost = dollars(entries) if entries else judged["cost_usd"].sum(min_count=1)
    return {"ledger": entries, "cost_usd": None if cost is None or pd.isna(cost) else float(cost)}
