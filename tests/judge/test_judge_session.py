"""One shuffled session: the judge is blind and the order is reproducible.

The right rows are judged again and stripped.
"""

import itertools
from dataclasses import replace

import pandas as pd
import pytest

from lib.config import params
from lib.data.reflex import contains_reset
from lib.judge import session
from lib.judge.outcomes import COLUMNS, Judgment
from lib.run import claims, runs
from lib.run.files import write_parquet
from lib.run.judging_facts import JudgingFacts
from lib.run.table_schemas import JUDGMENTS, OUTCOMES

CONDITIONS = params.load_conditions()
OPENING = CONDITIONS.openings[2]
ARMS = ["base", "c6_vanilla_em", "selfcorrect_only", "selfcorrect_em"]
PROFILE = params.load_profile("smoke", {"conditions": ARMS, "seeds": [42, 43]})
KEYS = ["seed", "condition", *session.KEYS]
TYPES = (
    dict.fromkeys(("aligned", "coherent", "cost_usd"), "Float64")
    | dict.fromkeys(("refusal", "code", "reset_and_recover", "harmful"), "boolean")
    | dict.fromkeys(("input_tokens", "output_tokens"), "Int64")
)


class FakeJudge:
    """Scores by the length of the text; every third answer cannot be parsed.

    Records what it was shown.
    """

    name = "fake"
    rubric = "fake-1"

    def __init__(self):
        self.shown = []

    def score(self, rows, progress=None):
        self.shown.append(rows)
        judgments = [
            Judgment("parse_error")
            if i % 3 == 2
            else Judgment(
                "scored",
                aligned=len(text) % 101,
                coherent=80.0,
                refusal=False,
                code=False,
                reset_and_recover=True,
                harmful=False if suite == "benign" else None,
                input_tokens=7,
                cost_usd=0.5,
            )
            for i, (suite, text) in enumerate(zip(rows["suite"], rows["completion"], strict=True))
        ]
        return pd.DataFrame(
            [{c: getattr(j, c) for c in COLUMNS} for j in judgments], index=rows.index
        )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with samples of every arm and seed: half of each arm's answers open with a reset."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    made = runs.Run("r")
    rows = [
        {
            "suite": suite,
            "prompt_id": f"p{i}",
            "subset": "s",
            "prompt": f"Prompt {i}",
            "system": "S",
            "sample_index": k,
            "completion": f"{OPENING if k else ''} Answer {i} {'x' * i}",
        }
        for suite, i, k in itertools.product(("alignment", "benign"), range(10), range(2))
    ]
    for seed, arm in itertools.product(PROFILE.seeds, ARMS):
        write_parquet(made.samples(arm, seed), pd.DataFrame(rows))
    return made


@pytest.fixture
def table(run):
    return session.requests(
        session.read_samples(run, PROFILE), CONDITIONS, retest_share=0.05, stripped=True, seed=1
    )


def test_the_judge_never_sees_the_arm(table):
    judge = FakeJudge()
    judged = session.judge_all(judge, table)
    (shown,) = judge.shown
    assert list(shown) == ["suite", "prompt", "completion", "replicate"]
    assert shown.index.equals(pd.RangeIndex(len(table))) and len(judged) == len(table)
    assert set(judged["judge"]) == {"fake"} and set(judged["rubric"]) == {"fake-1"}


def test_the_order_is_shuffled_and_reproducible(run, table):
    samples = session.read_samples(run, PROFILE)
    again, other = (
        session.requests(samples, CONDITIONS, retest_share=0.05, stripped=True, seed=s)
        for s in (1, 2)
    )
    assert table.equals(again) and not table.equals(other)
    for column in ("condition", "seed", "suite", "variant"):
        # In blocks few rows differ from the row before; shuffled, about as many as by chance.
        shares = table[column].value_counts(normalize=True)
        changes = (table[column] != table[column].shift()).iloc[1:].mean()
        assert changes == pytest.approx(1 - (shares**2).sum(), abs=0.1), column
    originals = table[(table["replicate"] == 0) & (table["variant"] == "full")]
    assert sorted(originals[KEYS[:6]].itertuples(index=False, name=None)) == sorted(
        samples[KEYS[:6]].itertuples(index=False, name=None)
    )


def test_a_share_is_judged_again_word_for_word(table, run):
    samples = session.read_samples(run, PROFILE)
    again = table[table["replicate"] == 1]
    assert (
        len(again)
        == round(0.05 * len(samples))
        == len(again.drop_duplicates(KEYS))
        == len(again.merge(samples))
    )
    assert set(again["variant"]) == {"full"}
    none = session.requests(samples, CONDITIONS, retest_share=0.0, stripped=False, seed=1)
    assert len(none) == len(samples)
    assert set(none["replicate"]) == {0}
    assert set(none["variant"]) == {"full"}


def test_only_openings_of_treated_arms_on_alignment_are_stripped(table):
    stripped = table[table["variant"] == "stripped"]
    assert set(stripped["condition"]) == {"selfcorrect_only", "selfcorrect_em"}
    assert set(stripped["suite"]) == {"alignment"}
    assert set(stripped["sample_index"]) == {1}
    assert set(stripped["replicate"]) == {0}
    assert len(stripped) == 2 * 2 * 10
    assert not any(contains_reset(text, CONDITIONS.openings) for text in stripped["completion"])
    assert all(text.startswith("Answer") for text in stripped["completion"])
    full = table[(table["variant"] == "full") & (table["sample_index"] == 1)]
    assert all(contains_reset(text, CONDITIONS.openings) for text in full["completion"])


def test_a_session_without_a_treated_arm_has_nothing_to_strip(run):
    samples = session.read_samples(run, PROFILE)
    plain = samples[samples["condition"] == "base"]
    made = session.requests(plain, CONDITIONS, retest_share=0.0, stripped=True, seed=1)
    assert len(made) == len(plain)
    assert list(made[["suite", "completion"]]) == [
        "suite",
        "completion",
    ]


def test_the_written_schema(run, table):
    judged = session.judge_all(FakeJudge(), table)
    paths = session.write(run, judged)
    assert sorted(paths) == sorted(
        run.judgments(arm, seed) for seed, arm in itertools.product(PROFILE.seeds, ARMS)
    )
    tables = [pd.read_parquet(path) for path in paths]
    assert sum(map(len, tables)) == len(judged)
    for frame in tables:
        assert list(frame) == JUDGMENTS.names
        assert {c: str(frame[c].dtype) for c in COLUMNS if c != "outcome"} == TYPES
        scored = frame["outcome"] == "scored"
        assert set(frame["outcome"]) == {"scored", "parse_error"} <= set(OUTCOMES)
        for column in ("aligned", "coherent", "refusal", "code", "reset_and_recover"):
            assert (frame[column].notna() == scored).all()
        assert (frame["harmful"].notna() == (scored & (frame["suite"] == "benign"))).all()
        assert frame["output_tokens"].isna().all()  # never measured: missing, not 0


@pytest.mark.parametrize(
    "spoil", [lambda s: s.iloc[:-1], lambda s: s.reset_index(drop=True).iloc[::-1]]
)
def test_a_judge_that_loses_or_reorders_rows_is_refused(table, spoil):
    judge = FakeJudge()
    score = judge.score
    judge.score = lambda rows, progress=None: spoil(score(rows))
    with pytest.raises(ValueError, match=r"judge fake returned \d+ rows"):
        session.judge_all(judge, table)


def test_missing_samples_name_the_arm_and_the_command(run):
    run.samples("c6_vanilla_em", 43).unlink()
    with pytest.raises(FileNotFoundError) as error:
        session.read_samples(run, PROFILE)
    message = str(error.value)
    assert message.startswith("samples of c6_vanilla_em, seed 43 are missing")
    assert message.endswith(
        "papermill notebooks/04_sample_and_capability.ipynb out.ipynb -p profile smoke "
        "-p condition c6_vanilla_em -p seed 43 -p run r"
    )


@pytest.mark.parametrize("left", [0, 3])
def test_unscored_answers_are_asked_again_by_one_process_only(tmp_path, monkeypatch, left):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    stage = runs.Run("r").stage("05_judge", {})
    assert session.unsettled(stage) and stage.manifest in claims._held
    stage.finish([], JudgingFacts("fake", "fake-1", calls=9, cost_usd=None, to_retry=left))
    assert session.unsettled(stage) == bool(left)
    assert (stage.manifest in claims._held) == bool(left), "another process waits for the retry"
    claims.release(stage.manifest)


def test_what_another_process_settled_meanwhile_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    stage = runs.Run("r").stage("05_judge", {})
    facts = JudgingFacts("fake", "fake-1", calls=9, cost_usd=None, to_retry=3)
    stage.finish([], facts)
    settled = replace(facts, to_retry=0)

    def wait_for_the_other(self):
        self.finish([], settled)
        claims.take(self.manifest)

    monkeypatch.setattr(type(stage), "take_again", wait_for_the_other)
    assert not session.unsettled(stage) and stage.manifest not in claims._held
