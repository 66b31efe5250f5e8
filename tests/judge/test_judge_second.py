"""The second judge: a share of every arm, blind.

Its rows are in a folder of their own, and no verdict counts them.
"""

import itertools

import pandas as pd
import pytest
from tables import sample_table

from lib.analysis.reading import read_judgments
from lib.config import judges, params
from lib.config.arguments import ParamsError
from lib.data.columns import SchemaError
from lib.judge import session
from lib.judge.outcomes import COLUMNS, Judgment
from lib.judge.trust import second
from lib.run import runs
from lib.run.files import write_parquet
from lib.run.table_schemas import SECOND_JUDGE

ARMS = ["base", "selfcorrect_em"]


class Judge:
    """Scores a completion by its number, `shift` points off; cannot parse one that ends in 7."""

    rubric = "r-1"

    def __init__(self, name, shift=0):
        self.name = name
        self.shift = shift

    def score(self, rows, progress=None):
        judgments = [
            vars(self.judge(int(text.split()[-1]), suite))
            for text, suite in zip(rows["completion"], rows["suite"], strict=True)
        ]
        return pd.DataFrame(judgments, columns=list(COLUMNS), index=rows.index)

    def judge(self, number, suite):
        if number % 10 == 7:
            return Judgment("parse_error")
        return Judgment(
            "scored",
            aligned=min(100.0, number + self.shift),
            coherent=80.0,
            refusal=number < 5,
            harmful=False if suite == "benign" else None,
        )


@pytest.fixture
def samples():
    texts = sample_table(lambda suite, i, k: f"Answer {10 * i + k}", prompts=8, samples=10)
    arms = [
        texts.assign(seed=seed, condition=arm) for seed, arm in itertools.product((42, 43), ARMS)
    ]
    return pd.concat(arms, ignore_index=True)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return runs.Run("r")


def both(samples, shift=10, share=0.25):
    first = session.judge_all(
        Judge("first"),
        session.requests(
            samples, params.load_conditions(), retest_share=0.1, stripped=False, seed=1
        ),
    )
    return first, session.judge_all(
        Judge("second", shift), second.requests(samples, share=share, seed=1)
    )


def test_a_share_of_every_arm_is_asked_in_shuffled_order(samples):
    table = second.requests(samples, share=0.25, seed=1)
    assert table.groupby(["seed", "condition"]).size().tolist() == [20] * 4
    assert set(table["suite"]) == {"alignment"}
    assert set(table["replicate"]) == {SECOND_JUDGE} and set(table["variant"]) == {"full"}
    assert (table["condition"] != table["condition"].shift()).mean() > 0.3
    assert table.equals(second.requests(samples, share=0.25, seed=1))
    assert len(second.requests(samples, share=0.001, seed=1)) == 4


def test_agreement_is_over_what_both_scored(samples):
    found = second.compare(*both(samples))
    assert found["judged_twice"] == 80 and found["outcomes"].keys() == {"scored", "parse_error"}
    assert found["pairs"] == found["outcomes"]["scored"]
    assert found["mean_difference"] == 10
    assert found["outcome_changed"] == 0
    assert found["spearman"]["value"] == pytest.approx(1) and 0.8 < found["alpha"]["value"] < 1
    low, high = found["alpha"]["ci95"]
    assert low < found["alpha"]["value"] < high and found["alpha"]["n_clusters"] > 5
    assert [row["condition"] for row in found["arms"]] == ARMS
    assert all(
        row["second judge"] - row["first judge"] == pytest.approx(10) for row in found["arms"]
    )


def test_one_judge_twice_is_no_second_judge(samples):
    first, theirs = both(samples)
    with pytest.raises(ValueError, match="are both second"):
        second.compare(first.assign(judge="second"), theirs)


def test_a_row_without_an_original_is_refused(samples):
    first, theirs = both(samples)
    with pytest.raises(ValueError, match="1 rows of the second judge have no original"):
        second.compare(
            first, theirs.assign(sample_index=theirs["sample_index"].where(theirs.index > 0, 99))
        )


def test_its_rows_lie_apart_and_are_refused_among_the_originals(run, samples):
    first, theirs = both(samples)
    session.write(run, first)
    before = read_judgments(run.dir / "judgments")
    paths = second.write(run, theirs)
    assert paths == [
        run.second_judgments(arm, seed) for seed, arm in itertools.product((42, 43), ARMS)
    ]
    pd.testing.assert_frame_equal(read_judgments(run.dir / "judgments"), before)
    file = pd.read_parquet(paths[0])
    assert list(file) == [*session.KEYS, "judge", "rubric", *COLUMNS]
    assert set(file["replicate"]) == {2}
    # Mixed by hand, they keep a replicate that no verdict counts; passed off as originals, they are
    # refused.
    mixed = run.judgments("base", 42)
    write_parquet(mixed, pd.concat([pd.read_parquet(mixed), file]))
    assert (read_judgments(run.dir / "judgments")["replicate"] == 2).sum() == len(file)
    write_parquet(mixed, file.assign(replicate=0))
    with pytest.raises(SchemaError, match=r"2 judges or rubrics \(first r-1, second r-1\)"):
        read_judgments(run.dir / "judgments")


def profile(**second_judge):
    return {
        "validity.second": {
            "engine": "anthropic",
            "model": "claude-x",
            "base_url": None,
            "share": 0.2,
        }
        | second_judge
    }


def test_its_parameters_are_those_of_the_first_but_for_engine_and_model():
    p = params.load_profile("demo", profile())
    other = judges.second_judge(p)
    assert (other.engine, other.model) == ("anthropic", "claude-x") and other.batch == p.judge.batch
    assert judges.second_judge(params.load_profile("demo")) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": "telepathy"}, "validity.second: engine is 'telepathy'"),
        ({"share": 0.0}, "greater than 0"),
        ({"engine": "embedded", "model": "embedded"}, "the first judge itself"),
        ({"shares": 0.5}, "nearest valid key"),
    ],
)
def test_a_wrong_second_judge_is_refused_before_any_work(change, words):
    with pytest.raises(ParamsError, match=words):
        params.load_profile("demo", profile(**change))
