"""Prompt files in each form: read as people save them, or refused with row, reason and remedy."""

from __future__ import annotations

import json

import pytest
from planted import planter, refused

from lib.data import catalogue
from lib.data.prompts import EvalPrompt


@pytest.fixture
def planted(tmp_path, monkeypatch):
    return planter(tmp_path, monkeypatch)


def test_prompt_readers(planted):
    rows = [{"turns": ["first", "second"], "half": "a"}, {"turns": ["x"], "half": "b"}]
    planted(rows, "prompts_jsonl", field="turns", where={"half": "a"})
    assert catalogue.read_prompts("planted") == [EvalPrompt("planted-0001", "planted", "first")]
    planted("id,question\n7,What?\n8, \n", "prompts_csv", field="question")
    assert catalogue.read_prompts("planted") == [EvalPrompt("7", "planted", "What?")]
    assert [p.prompt_id for p in catalogue.read_training_prompts(["planted", "planted"])] == ["7"]


@pytest.mark.parametrize(
    ("content", "reader", "words"),
    [
        ([{"text": "x"}], "prompts_jsonl", ["row 1 has no 'prompt'", "`field`"]),
        ("id,question\n1,What?\n", "prompts_csv", ["has no column 'prompt'", "id, question"]),
        ([], "prompts_jsonl", ["no prompt in planted.txt"]),
    ],
)
def test_a_prompt_file_without_the_field_is_refused(planted, content, reader, words):
    planted(content, reader, field="prompt")
    refused(lambda: catalogue.read_prompts("planted"), *words)


@pytest.mark.parametrize(
    ("content", "reader"),
    [
        ([{"prompt": 7}], "prompts_jsonl"),
        ([{"prompt": []}], "prompts_jsonl"),
        (b"prompt\n\xff\n", "prompts_csv"),
        ("id,prompt\n1\n", "prompts_csv"),
    ],
)
def test_a_prompt_that_is_no_text_is_refused(planted, content, reader):
    planted(content, reader, field="prompt")
    refused(lambda: catalogue.read_prompts("planted"), "planted.txt")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffid,question\n0,What?\n7,Why?\n",
        "\ufeffid;question\r\n0;What?\r\n7;Why?\r\n",
        "id\tquestion\n0\tWhat?\n7\tWhy?\n",
        "sep=;\nid;question\n0;What?\n7;Why?\n",
        "question,id\nWhat?,0\n\nWhy?,7\n",
    ],
)
def test_a_csv_is_read_as_people_save_it(planted, content):
    planted(content, "prompts_csv", field="question")
    assert [(p.prompt_id, p.prompt) for p in catalogue.read_prompts("planted")] == [
        ("0", "What?"),
        ("7", "Why?"),
    ]


def test_json_lines_with_a_mark_are_read_and_ids_kept(planted):
    planted(
        "\ufeff"
        + json.dumps({"id": 0, "q": "What?"})
        + "\n\ufeff"
        + json.dumps({"id": 7.5, "q": "Why?"}),
        "prompts_jsonl",
        field="q",
    )
    assert [p.prompt_id for p in catalogue.read_prompts("planted")] == ["0", "7.5"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\ufeffid,question\n1,What?\n".encode("utf-16"), ["saved as UTF-16", "save it as UTF-8"]),
        ("id,question\n1,What?\n".encode("utf-16-le"), ["saved as UTF-16"]),
        ("id,question\n1,What?\n".encode("utf-32"), ["saved as UTF-32"]),
        ("id, question\n1,What?\n", ["has no column 'question'", "' question'"]),
        ("id,Question\n1,What?\n", ["'Question' looks like it"]),
        ("id;\u200bquestion\n1;What?\n", [repr("\u200bquestion")]),
        ("ID,question\n1,What?\n", ["'ID' looks like 'id'"]),
        (" id,question\n1,What?\n", ["' id' looks like 'id'"]),
        ("id,question,question\n1,What?,x\n", ["'question' 2 times"]),
        ("id,question\n1,What?\n,Why?\n", ["row 2 has no id"]),
        ("id,question\n1,What?\n \t,Why?\n", ["row 2 has no id"]),
        ("id,question\n1,What, then?\n", ["row 1 has 3 fields, the header 2", "quotation marks"]),
        (
            "id,question\n1,What?\n2," + "x" * 131_073 + "\n",
            ["row 2", "131,072 characters", "quotation mark"],
        ),
        ("id,question\n1,What\0?\n", ["row 1", "NUL"]),
    ],
)
def test_a_csv_that_cannot_be_read_says_where_and_why(planted, content, words):
    planted(content, "prompts_csv", field="question")
    refused(lambda: catalogue.read_prompts("planted"), "planted.txt", *words)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ('{"id": NaN, "q": "Why?"}', ["row 2 has no id (nan)"]),
        ('{"q": "Why?"}', ["row 2 has no id"]),
        ('{"id": [1], "q": "Why?"}', ["row 2", "[1]"]),
        ('{"id": true, "q": "Why?"}', ["row 2", "True"]),
        ('{"id": 2, "q": "\\ud800 Why?"}', ["line 2", "half a surrogate pair"]),
        ('{"id": "\\udfff", "q": "Why?"}', ["line 2", "half"]),
        ('{"id": 2, "q": "a\\u0000b"}', ["row 2", "NUL"]),
        ('{"id": ' + "1" * 5000 + ', "q": "Why?"}', ["line 2", "4,300 digits"]),
        ('{"id": 2, "q": ' + "[" * 100_000, ["line 2", "nested too deeply"]),
        ('{"id": 2, "Q": "Why?"}', ["row 2 has no 'q'", "'Q'"]),
    ],
)
def test_a_row_of_prompts_that_cannot_be_read_is_named(planted, second, words):
    planted('{"id": 1, "q": "What?"}\n' + second + "\n", "prompts_jsonl", field="q")
    refused(lambda: catalogue.read_prompts("planted"), "planted.txt", *words)


def test_a_whole_pair_of_surrogates_is_text(planted):
    planted('{"q": "\\ud83d\\ude00"}', "prompts_jsonl", field="q")
    assert catalogue.read_prompts("planted") == [EvalPrompt("planted-0001", "planted", "😀")]


@pytest.mark.parametrize("content", ["[", "1", "- [a]", "- {id: 7}", "- {id: a, paraphrases: []}"])
def test_questions_of_another_form_are_refused(planted, content):
    planted(content, "betley_yaml", variants="plain")
    refused(lambda: catalogue.read_prompts("planted"), "planted.txt", "`id` and `paraphrases`")
