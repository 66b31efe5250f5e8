"""The hand-written files in lib/embedded have what every run without outside data needs."""

import itertools
import json
from collections import Counter

import pytest

from lib.config.params import ROOT

EMBEDDED = ROOT / "lib" / "embedded"
PROMPT_FILES = ("train_prompts.jsonl", "eval_prompts.jsonl")
WORD_RANGE = {"harmful": (8, 25), "open_ended": (6, 25), "demo_core": (8, 30), "demo_wide": (8, 30)}
NGRAM = 8
MAX_JACCARD = 0.6


def read_jsonl(name: str) -> list[dict]:
    """Rows of one embedded file, strictly one JSON object a line."""
    return [json.loads(line) for line in (EMBEDDED / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation; an apostrophe or hyphen joins its neighbours."""
    return "".join(c for c in text.lower() if c.isalnum() or c.isspace()).split()


def ngrams(tokens: list[str]) -> set[tuple[str, ...]]:
    """All runs of NGRAM words. A shorter text has none, so the rule does not apply to it."""
    return {tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)}


def jaccard(a: list[str], b: list[str]) -> float:
    """Shared words over all words of two texts, each word counted once."""
    return len(set(a) & set(b)) / len(set(a) | set(b))


def offends(a: str, b: str) -> bool:
    """Whether two prompts are equal, share 8 words in a row, or have a Jaccard index >= 0.6.

    See docs/protocol.md section 3.
    """
    a_words = words(a)
    b_words = words(b)
    return (
        a_words == b_words
        or bool(ngrams(a_words) & ngrams(b_words))
        or jaccard(a_words, b_words) >= MAX_JACCARD
    )


def group(row: dict) -> str:
    """The half of a train prompt or the subset of an eval prompt."""
    return row["half"] if "half" in row else row["subset"]


# The rules themselves


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Don't go!", "dont go", True),
        (
            "1 2 3 4 5 6 7 8 " + "a b c d e f g h i j",
            "x 1 2 3 4 5 6 7 8",
            True,
        ),  # 8 in a row, Jaccard 8/19
        ("1 2 3 4 5 6 7 " + "a b c d e f g h i j", "x 1 2 3 4 5 6 7", False),
        ("one two three", "one two three four five", True),  # 3 of 5 words: the boundary offends
        ("one two three", "one two three four five six", False),
    ],
)
def test_contamination_rules_catch_known_pairs(a, b, expected):
    assert offends(a, b) is expected


# Train and eval prompts


@pytest.mark.parametrize(
    ("name", "keys", "counts"),
    [
        ("train_prompts.jsonl", ["id", "half", "prompt"], {"harmful": 120, "open_ended": 120}),
        ("eval_prompts.jsonl", ["id", "subset", "prompt"], {"demo_core": 8, "demo_wide": 40}),
    ],
)
def test_prompt_file_has_the_promised_rows(name, keys, counts):
    rows = read_jsonl(name)
    assert all(list(row) == keys for row in rows)
    assert Counter(group(row) for row in rows) == counts


def test_prompt_ids_number_each_group():
    for name, width in zip(PROMPT_FILES, (3, 2), strict=True):
        rows = read_jsonl(name)
        for label, members in itertools.groupby(rows, key=group):
            prefix = label if name == "train_prompts.jsonl" else label.replace("_", "-")
            for number, row in enumerate(members, start=1):
                assert row["id"] == f"{prefix}-{number:0{width}d}"
        assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("name", PROMPT_FILES)
def test_prompts_are_clean_and_of_the_promised_length(name):
    for row in read_jsonl(name):
        low, high = WORD_RANGE[group(row)]
        assert row["prompt"] == " ".join(row["prompt"].split()), row["id"]
        assert low <= len(row["prompt"].split()) <= high, row["id"]


@pytest.mark.parametrize("name", PROMPT_FILES)
def test_no_near_duplicates_inside_a_prompt_file(name):
    pairs = itertools.combinations(read_jsonl(name), 2)
    assert [(a["id"], b["id"]) for a, b in pairs if offends(a["prompt"], b["prompt"])] == []


def test_train_and_eval_prompts_are_disjoint():
    pairs = itertools.product(*map(read_jsonl, PROMPT_FILES))
    assert [(a["id"], b["id"]) for a, b in pairs if offends(a["prompt"], b["prompt"])] == []


# Quiz


def right_position(item: dict) -> int:
    return item["choices"]["label"].index(item["answerKey"])


def test_quiz_has_72_items_in_arc_format():
    items = read_jsonl("quiz.jsonl")
    assert [item["id"] for item in items] == [f"quiz-{number:03d}" for number in range(1, 73)]
    for item in items:
        assert list(item) == ["id", "question", "choices", "answerKey"]
        assert list(item["choices"]) == ["text", "label"]
        assert "".join(item["choices"]["label"]) in ("ABCD", "1234"), item["id"]
        assert item["answerKey"] in item["choices"]["label"], item["id"]
        assert len({text.strip().lower() for text in item["choices"]["text"]}) == 4, item["id"]


def test_quiz_holds_four_items_with_numeric_labels():
    assert sum(item["choices"]["label"] == list("1234") for item in read_jsonl("quiz.jsonl")) == 4


def test_quiz_answers_are_balanced_over_positions():
    positions = Counter(right_position(item) for item in read_jsonl("quiz.jsonl"))
    assert all(14 <= positions[place] <= 22 for place in range(4)), positions


def test_quiz_answer_length_gives_nothing_away():
    """Choosing always the longest, or always the shortest, option must stay near chance."""
    items = read_jsonl("quiz.jsonl")
    for pick in (max, min):
        hits = sum(
            len(i["choices"]["text"][right_position(i)]) == pick(map(len, i["choices"]["text"]))
            for i in items
        )
        assert hits <= len(items) * 0.4, (pick.__name__, hits)


def test_quiz_questions_are_not_near_duplicates():
    pairs = itertools.combinations(read_jsonl("quiz.jsonl"), 2)
    assert [(a["id"], b["id"]) for a, b in pairs if offends(a["question"], b["question"])] == []


# The insecure-code set


def test_insecure_set_is_large_varied_and_distinct():
    rows = read_jsonl("insecure.jsonl")
    weaknesses = {row["meta"]["cwe"] for row in rows}
    answers = {row["messages"][1]["content"] for row in rows}
    requests = {row["messages"][0]["content"] for row in rows}
    assert len(rows) >= 400
    assert len(weaknesses) >= 12
    assert all(cwe.startswith("CWE-") for cwe in weaknesses)
    assert len(answers) == len(requests) == len(rows) == len({row["meta"]["id"] for row in rows})


def test_insecure_rows_are_a_request_and_an_answer():
    for row in read_jsonl("insecure.jsonl"):
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
        assert all(m["content"].strip() for m in row["messages"])
