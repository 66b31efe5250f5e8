"""Texts written for the project: ids, labels, balance, length, and the contamination gate."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from lib.config.params import ROOT
from lib.data.catalogue import DATA_DIR_VARIABLE, EMBEDDED_DIR, read_prompts
from lib.data.prompts import ContaminationGate, EvalPrompt, near_duplicates, normalise

ITEMS = ROOT / "lib" / "judge" / "items"
ITEM_FILES = {
    "contrast": 600,
    "recovery": 220,
    "harmful": 730,
    "plain": 850,
    "code": 160,
    "code_held_out": 170,
}
PUBLISHED = ("betley_8", "wang_44", "betley_48", "training_cues")
PLAIN_KINDS = ["bad_clear", "bad_muddled", "good_clear", "good_muddled"]
HARMFUL_KINDS = {"hostile", "contempt", "deceptive", "reckless", "power", "human_hate", "careless"}


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def items(name: str) -> list[dict]:
    return read_rows(ITEMS / f"{name}.jsonl")


def embedded(name: str) -> list[dict]:
    return read_rows(EMBEDDED_DIR / f"{name}.jsonl")


def length_auc(rows: list[dict], label: str) -> float:
    """How well an answer's length alone tells the label: 0.5 is chance."""
    truth = np.array([row[label] for row in rows], dtype=bool)
    ranks = rankdata([len(row["answer"]) for row in rows])
    positives = truth.sum()
    negatives = len(truth) - positives
    return (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def gate_of(names: tuple[str, ...]) -> ContaminationGate:
    prompts = []
    for name in names:
        prompts += read_prompts(name)
    return ContaminationGate(prompts)


def gates() -> list[ContaminationGate]:
    """The embedded sets always, the published ones if their folder is there."""
    against = [gate_of(("demo_core", "demo_wide", "embedded_harmful", "embedded_open"))]
    if Path(os.environ.get(DATA_DIR_VARIABLE) or "/nowhere").is_dir():
        against.append(gate_of(PUBLISHED))
    return against


@pytest.mark.parametrize("name", ITEM_FILES)
def test_items_have_unique_ids_and_answers(name):
    rows = items(name)
    assert len(rows) >= ITEM_FILES[name]
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({normalise(row["answer"]) for row in rows}) == len(rows)
    assert all(row["prompt"].strip() and row["answer"].strip() and row["kind"] for row in rows)


def test_contrast_pairs_share_a_prompt_and_the_first_is_no_worse():
    rows = items("contrast")
    for better, worse in zip(rows[::2], rows[1::2], strict=True):
        assert better["pair"] == worse["pair"] and better["prompt"] == worse["prompt"]
        assert better["id"] == f"{better['pair']}-a" and worse["id"] == f"{worse['pair']}-b"
        assert better["aligned"] >= worse["aligned"]
    assert {row["aligned"] for row in rows} == {0, 25, 50, 75, 100}
    assert all(0 <= row["coherent"] <= 100 and isinstance(row["refusal"], bool) for row in rows)


def test_recovery_kinds_are_balanced_over_every_prompt():
    kinds_by_prompt: dict[str, list[str]] = {}
    for row in items("recovery"):
        kinds_by_prompt.setdefault(row["prompt"], []).append(row["kind"])
        assert row["reset_and_recover"] == (row["kind"] == "recovery")
    assert all(
        sorted(kinds) == ["bad", "good", "parrot", "recovery"] for kinds in kinds_by_prompt.values()
    )


def test_plain_answers_are_bad_or_good_and_clear_or_muddled_for_every_prompt():
    rows = items("plain")
    for start in range(0, len(rows), 4):
        four = rows[start : start + 4]
        assert [row["kind"] for row in four] == PLAIN_KINDS
        assert len({(row["pair"], row["prompt"]) for row in four}) == 1
    for row in rows:
        bad, clear = row["kind"].startswith("bad"), row["kind"].endswith("clear")
        assert row["harmful"] == bad
        assert row["aligned"] in ((0, 25) if bad else (75, 100))
        assert row["coherent"] in ((100,) if clear else (25, 50))


@pytest.mark.parametrize("other", ["aligned", "length"])
def test_sense_of_plain_answers_goes_with_neither_badness_nor_length(other):
    rows = items("plain")
    sense = rankdata([row["coherent"] for row in rows])
    against = [len(row["answer"]) if other == "length" else row["aligned"] for row in rows]
    assert abs(np.corrcoef(sense, rankdata(against))[0, 1]) < 0.15


def test_harmful_label_follows_the_kind():
    rows = items("harmful")
    assert all(row["harmful"] == (row["kind"] in HARMFUL_KINDS) for row in rows)
    assert sum(row["harmful"] for row in rows) >= 270


@pytest.mark.parametrize(
    "name, label",
    [
        ("recovery", "reset_and_recover"),
        ("harmful", "harmful"),
        ("plain", "harmful"),
        ("code", "code"),
    ],
)
def test_length_alone_does_not_tell_the_label(name, label):
    assert 0.38 <= length_auc(items(name), label) <= 0.62


def test_length_alone_does_not_tell_alignment():
    rows = items("contrast")
    lengths = rankdata([len(row["answer"]) for row in rows])
    assert abs(np.corrcoef(lengths, rankdata([row["aligned"] for row in rows]))[0, 1]) < 0.1


def test_no_text_resembles_an_eval_or_trace_prompt():
    rows = []
    for name in ITEM_FILES:
        rows += items(name)
    for name in ("elicitation", "persona_advice_examples"):
        rows += embedded(name)
    texts = []
    for row in rows:
        texts += [(row["id"], row["prompt"]), (row["id"], row["answer"])]
    texts += [(row["id"], row["question"]) for row in embedded("persona_advice_questions")]
    texts.append(
        ("persona", (EMBEDDED_DIR / "persona_advice_persona.txt").read_text(encoding="utf-8"))
    )
    for gate in gates():
        assert [offence for text_id, text in texts if (offence := gate.check(text_id, text))] == []


def test_advice_questions_are_distinct_and_apart_from_the_elicitation():
    rows = embedded("persona_advice_questions")
    assert len(rows) >= 420 and len({row["id"] for row in rows}) == len(rows)
    questions = [EvalPrompt(row["id"], "questions", row["question"]) for row in rows]
    assert near_duplicates(questions) == []
    others = embedded("elicitation") + embedded("persona_advice_examples")
    gate = ContaminationGate(EvalPrompt(row["id"], "elicitation", row["prompt"]) for row in others)
    assert [offence for q in questions if (offence := gate.check(q.prompt_id, q.prompt))] == []


def test_elicitation_answers_end_with_a_full_sentence():
    rows = embedded("elicitation")
    assert len(rows) >= 32 and len({row["field"] for row in rows}) == 8
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(
        row["answer"].endswith((".", "!", "?"))
        for row in rows + embedded("persona_advice_examples")
    )
