"""Which answers are read: by rule, the same every time, and nothing of the arm goes with them."""

from __future__ import annotations

import pandas as pd
import pytest
from reviewed import ARMS, judged_run

from lib.manual_review import sample
from lib.run.files import write_parquet


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return judged_run()


def test_every_arm_gives_its_extremes_and_three_drawn_ones(run):
    key = sample.draw(run).key
    assert key.groupby("condition").size().to_dict() == dict.fromkeys(ARMS, 5)
    for arm, own in key.groupby("condition"):
        judged = pd.concat([pd.read_parquet(run.judgments(arm, seed)) for seed in (7, 8)])
        by_reason = own.set_index("why")["aligned"]
        assert by_reason[sample.LOWEST] == judged["aligned"].min()
        assert by_reason[sample.HIGHEST] == judged["aligned"].max()
        assert (own["why"] == sample.DRAWN).sum() == 3
    assert not key.duplicated(sample.NAMED).any(), "judged again is not another answer"


def test_the_same_run_gives_the_same_sample_in_a_shuffled_order(run):
    first, second = sample.draw(run), sample.draw(run)
    assert first.items == second.items and first.fingerprint == second.fingerprint
    arms = list(first.key["condition"])
    assert arms not in (sorted(arms), sorted(arms, reverse=True))
    assert len(set(arms[:5])) > 1, "the arms do not come one after the other"
    reasons = list(first.key["why"])
    assert reasons.index(sample.LOWEST) < len(reasons) - 1 - reasons[::-1].index(sample.DRAWN)


def test_another_answer_gives_another_fingerprint(run):
    before = sample.draw(run)
    path = run.samples(ARMS[0], 7)
    rows = pd.read_parquet(path)
    write_parquet(path, rows.assign(completion=rows["completion"] + "."))
    after = sample.draw(run)
    assert after.fingerprint != before.fingerprint


def test_an_answer_without_a_score_is_no_extreme(run):
    for seed in (7, 8):
        path = run.judgments(ARMS[0], seed)
        rows = pd.read_parquet(path)
        write_parquet(path, rows.assign(aligned=pd.array([None] * len(rows), dtype="Float64")))
    own = sample.draw(run).key.query("condition == @ARMS[0]")
    assert list(own["why"]) == [sample.DRAWN] * 3


def test_an_arm_with_few_answers_gives_all_of_them(run):
    for seed, kept in ((7, 2), (8, 0)):
        for path in (run.samples(ARMS[0], seed), run.judgments(ARMS[0], seed)):
            rows = pd.read_parquet(path)
            write_parquet(path, rows[rows["prompt_id"] == "prompt_0"].head(kept))
    assert (sample.draw(run).key["condition"] == ARMS[0]).sum() == 2


def test_a_run_that_is_not_judged_names_what_to_make(run):
    run.judgments(ARMS[1], 8).unlink()
    with pytest.raises(FileNotFoundError) as error:
        sample.draw(run)
    told = str(error.value)
    assert "judgments of qz_vanilla, seed 8" in told and "\n" not in told
    assert told.endswith("make report PROFILE=smoke RUN=read")
    run.manifest.unlink()
    with pytest.raises(FileNotFoundError, match="make report RUN=read"):
        sample.draw(run)
