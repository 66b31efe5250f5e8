"""The store: only a scored attempt is an answer, and a key holds all that decides one.

Each attempt stays in the ledger.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.judge.outcomes import Judgment
from lib.judge.store import Store, dollars, key_of, ledger
from lib.run.table_schemas import OUTCOMES

WHO = {"model": "m", "rubric": "r"}
ATTEMPTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(OUTCOMES), st.integers(0, 100)), max_size=30
)


def judgment(outcome, value=50, cost=0.25):
    return Judgment(
        outcome,
        aligned=float(value) if outcome == "scored" else None,
        input_tokens=10,
        cost_usd=cost,
    )


@pytest.fixture
def store(tmp_path):
    with_path = Store(tmp_path / "judge" / "session.sqlite")
    yield with_path
    with_path.close()


@settings(max_examples=60, deadline=None)
@given(ATTEMPTS)
def test_only_a_scored_attempt_is_ever_an_answer(attempts):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s.sqlite")
        for key, outcome, value in attempts:
            store.add(key, judgment(outcome, value), **WHO)
        answers = store.answers("abcd")
        failures = store.failures("abcd")
        paid = ledger(Path(folder))
        store.close()
    scored = {}
    for key, outcome, value in attempts:
        if outcome == "scored":
            scored.setdefault(key, float(value))
    assert {key: found.aligned for key, found in answers.items()} == scored
    assert {found.outcome for found in answers.values()} <= {"scored"}
    asked = {key for key, _, _ in attempts}
    assert set(failures) == asked - set(scored)
    for key, (last, count) in failures.items():
        own = [outcome for k, outcome, _ in attempts if k == key]
        assert (last.outcome, count) == (own[-1], len(own)) and last.aligned is None
    assert sum(row["requests"] for row in paid) == len(attempts)
    assert (dollars(paid) or 0) == pytest.approx(0.25 * len(attempts))


@pytest.mark.parametrize(
    ("outcome", "scores"), [("parse_error", '{"aligned": 100}'), ("scored", None)]
)
def test_the_table_itself_refuses_scores_on_what_was_not_scored(store, outcome, scores):
    with pytest.raises(sqlite3.IntegrityError):
        store.db.execute(
            "INSERT INTO attempts (key, outcome, scores, model, rubric, finished)"
            " VALUES ('k', ?, ?, 'm', 'r', 'now')",
            (outcome, scores),
        )


def test_everything_that_decides_an_answer_decides_the_key():
    given = {
        "model": "m",
        "rubric": "r",
        "parameters": {"max_tokens": 1},
        "suite": "s",
        "prompt": "p",
        "completion": "c",
        "replicate": 0,
    }
    changed = {
        "model": "n",
        "rubric": "q",
        "parameters": {"max_tokens": 2},
        "suite": "t",
        "prompt": "pp",
        "completion": "cc",
        "replicate": 1,
    }
    keys = {key_of(**given | {name: value}) for name, value in changed.items()} | {key_of(**given)}
    assert len(keys) == 8 and key_of(**given) == key_of(**given)
    assert key_of(**given | {"prompt": "p", "completion": "c"}) != key_of(
        **given | {"prompt": "pc", "completion": ""}
    )


def test_it_writes_ahead_so_that_a_reader_never_waits(store):
    assert store.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_survives_being_opened_again(store):
    store.add("a", judgment("scored"), **WHO)
    store.add("a", judgment("parse_error"), **WHO)
    batch = store.intend("m" * 16, "m", "r", {"b": "alignment"})
    again = Store(store.path)
    assert set(again.answers(["a"])) == {"a"} and again.open_batches() == [batch]
    again.close()


def test_a_result_that_is_read_twice_counts_once(store):
    assert store.add("a", judgment("scored"), **WHO, batch="b1")
    assert not store.add("a", judgment("scored"), **WHO, batch="b1")
    assert store.add("a", judgment("error"), **WHO, batch="b2")
    assert store.add("a", judgment("error"), **WHO)
    assert sum(row["requests"] for row in ledger(store.path.parent)) == 3


def test_a_batch_goes_from_intent_to_done(store):
    store.intend("1", "m", "r", {"a": "alignment"})
    store.intend("2", "m", "r", {"b": "benign"})
    store.created("1", "msgbatch_1")
    store.forget("1")
    store.forget("2")
    assert [(b.marker, b.id, b.suites) for b in store.open_batches()] == [
        ("1", "msgbatch_1", {"a": "alignment"})
    ]
    assert store.batch_ids() == {"msgbatch_1"}
    store.finish("1")
    assert store.open_batches() == [] and store.batch_ids() == {"msgbatch_1"}


def test_the_ledger_tells_stages_apart_and_leaves_missing_missing(tmp_path):
    for stage, cost in (("session", 0.5), ("traces", None)):
        store = Store(tmp_path / f"{stage}.sqlite")
        store.add("a", judgment("scored", cost=cost), **WHO)
        store.add("b", judgment("error", cost=None), **WHO)
        store.close()
    rows = ledger(tmp_path)
    assert [(r["stage"], r["outcome"], r["cost_usd"], r["output_tokens"]) for r in rows] == [
        ("session", "error", None, None),
        ("session", "scored", 0.5, None),
        ("traces", "error", None, None),
        ("traces", "scored", None, None),
    ]
    assert dollars(rows) == 0.5 and dollars(rows[2:]) is None and ledger(tmp_path / "none") == []
