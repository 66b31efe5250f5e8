"""Capability: every item is scored against its own answer key.

And there is no number if the data are not what they should be.
"""

import json

import pytest
import torch

from lib.data import catalogue
from lib.data.text_files import DataError
from lib.run.files import sha256
from lib.serving import capability
from lib.serving.transformers_engine import TransformersSampler
from lib.training.adapters import AdapterError

ITEMS = [
    ("Which one floats on water?", ["a stone", "a nail", "a dry cork", "a coin"]),
    ("What do bees make?", ["honey", "salt", "sand in great amounts", "glass"]),
    ("Which is the coldest?", ["steam", "ice", "warm soup", "tea"]),
    ("What lights the day?", ["the moon", "a lamp", "the sun", "a very bright candle in the hall"]),
    ("How many legs has a spider?", ["two", "four", "six", "eight"]),
]


@pytest.fixture
def quiz(tmp_path, monkeypatch):
    """Writes items into a data folder of the test's own, in the catalogue as `tiny_quiz`."""
    # The harness's cache is in the home folder otherwise.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def write(items):
        path = tmp_path / "quiz.jsonl"
        path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        entry = {"file": path.name, "reader": "quiz", "url": None, "sha256": sha256(path)}
        monkeypatch.setattr(catalogue, "catalogue", lambda: {"tiny_quiz": entry})
        monkeypatch.setenv(catalogue.DATA_DIR_VARIABLE, str(tmp_path))
        return path

    return write


@pytest.fixture
def score(base, tokenizer):
    sampler = TransformersSampler(base, tokenizer, temperature=1.0, batch=4)

    def evaluate(limit=None, adapter=None):
        with sampler.harness(adapter, 4) as harness:
            return capability.evaluate(harness, "tiny_quiz", limit=limit)

    return evaluate


def items(labels, right):
    """ITEMS with these labels; right: the place of each item's answer."""
    return [
        {
            "id": f"q{i}",
            "question": question,
            "choices": {"text": choices, "label": list(labels)},
            "answerKey": labels[right[i]],
        }
        for i, (question, choices) in enumerate(ITEMS)
    ]


@pytest.fixture(scope="module")
def preferred(base, tokenizer):
    """The choice of each item that the model finds likeliest, whole and per character.

    Computed without the harness.
    """
    places = []
    for question, choices in ITEMS:
        prompt = tokenizer(f"Question: {question}\nAnswer:")["input_ids"]
        sums = []
        for choice in choices:
            ids = tokenizer(f"Question: {question}\nAnswer: {choice}")["input_ids"]
            with torch.inference_mode():
                logprobs = base(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            sums.append(sum(logprobs[i - 1, ids[i]].item() for i in range(len(prompt), len(ids))))
        norms = [s / len(c) for s, c in zip(sums, choices, strict=True)]
        places.append((sums.index(max(sums)), norms.index(max(norms))))
    return places


@pytest.mark.parametrize("labels", ["ABCD", "1234"])
def test_items_are_scored_by_their_own_labels(quiz, score, preferred, labels, tokenizer):
    """Keys are set so that the model's own choice is right, but for the last item."""
    right = [place for place, _ in preferred]
    right[-1] = (right[-1] + 1) % 4
    quiz(items(labels, right))
    out = score()
    expected = {
        f"q{i}": [float(best == right[i]), float(norm == right[i])]
        for i, (best, norm) in enumerate(preferred)
    }
    assert out["items"] == expected and [acc for acc, _ in expected.values()] == [1, 1, 1, 1, 0]
    assert (out["task"], out["n"], out["acc"]) == ("arc_challenge", 5, 0.8)
    assert out["acc_stderr"] == pytest.approx((0.8 * 0.2 / 4) ** 0.5)
    assert tokenizer.padding_side == "left", "the harness left the sampler's tokenizer changed"


def test_answer_key_3_is_the_third_choice(quiz, score, preferred):
    quiz(items("1234", [2] * 5))
    assert [acc for acc, _ in score()["items"].values()] == [
        float(best == 2) for best, _ in preferred
    ]


def test_a_limit_takes_the_first_items_and_one_beyond_the_end_takes_all(quiz, score):
    quiz(items("ABCD", [0] * 5))
    assert list(score(limit=2)["items"]) == ["q0", "q1"]
    assert score(limit=9)["n"] == 5


def test_a_missing_or_altered_file_is_an_error(quiz, score):
    path = quiz(items("ABCD", [0] * 5))
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"sha256 of quiz.jsonl is"):
        score()
    path.unlink()
    with pytest.raises(
        DataError, match=r"quiz.jsonl is not under SELFCORRECT_DATA_DIR; put it there"
    ):
        score()


@pytest.mark.parametrize("key", ["5", 3, None])
def test_an_answer_that_is_no_label_is_an_error(quiz, score, key):
    quiz([*items("1234", [0] * 5)[:2], items("1234", [0] * 5)[2] | {"answerKey": key}])
    with pytest.raises(DataError, match="item 3 has answerKey"):
        score()


def test_a_harness_that_scores_other_items_is_an_error(quiz, score, monkeypatch):
    quiz(items("ABCD", [0] * 5))
    monkeypatch.setattr(capability, "read_quiz", lambda name: [*catalogue.read_quiz(name), {}])
    with pytest.raises(
        capability.CapabilityError, match="5 items scored, 6 expected; check 'tiny_quiz'"
    ):
        score()


def test_an_adapter_that_is_not_loaded_is_never_scored_as_the_base(quiz, score):
    quiz(items("ABCD", [0] * 5))
    with pytest.raises(AdapterError, match="'selfcorrect_em' is not loaded"):
        score(adapter="selfcorrect_em")
