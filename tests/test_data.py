"""Inputs: each malformed or altered file is one DataError that names the file, the place, the reason and the remedy."""

import hashlib
import json

import pytest

from lib.config import params
from lib.data import catalogue, training_sets
from lib.data.catalogue import DATA_DIR_VARIABLE, DataError
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.run import runs

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
QUIZ = {
    "id": "q",
    "question": "?",
    "choices": {"text": ["x", "y"], "label": ["A", "B"]},
    "answerKey": "A",
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """`planted(content, reader, ...)` puts a file into the data folder and the catalogue, as data set `planted`."""
    entries = dict(catalogue.catalogue())
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))

    def plant(content, reader="chats", **more):
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "planted.txt").write_bytes(raw)
        entries["planted"] = {
            "file": "planted.txt",
            "reader": reader,
            "url": "https://example.org/planted.txt",
            "sha256": hashlib.sha256(raw).hexdigest(),
        } | more
        return entries["planted"]

    return plant


def refused(read, *words, error=DataError):
    with pytest.raises(error) as raised:
        read()
    message = str(raised.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message


def turns(*roles):
    return {"messages": [{"role": role, "content": "text"} for role in roles]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"messages": []}\n\n{"messages": [}\n', ["planted.txt", "line 3", "no JSON", "mend"]),
        ("[1]\n", ["line 1", "a list, not an object"]),
        (b'{"a": "\xff"}', ["not UTF-8 at byte 7", "save it as UTF-8"]),
        ([{"text": "x"}], ["row 1", "no `messages` list"]),
        ([{"messages": []}], ["row 1", "no `messages` list"]),
        (
            [{"messages": CHAT}, turns("human", "assistant")],
            ["row 2", "unknown role 'human'", "use system, user"],
        ),
        (
            [{"messages": [CHAT[0], {"role": "assistant", "content": " \n"}]}],
            ["row 1", "empty assistant turn"],
        ),
        ([{"messages": [CHAT[0], {"role": "assistant"}]}], ["row 1", "empty assistant turn"]),
        (
            [{"messages": [CHAT[0], {"role": "assistant", "content": ["x"]}]}],
            ["row 1", "empty assistant turn"],
        ),
        ([turns("user", "user", "assistant")], ["row 1", "turns are user user assistant"]),
        ([turns("assistant", "user")], ["row 1", "turns are assistant user"]),
        ([turns("user", "assistant", "user")], ["row 1", "ending in assistant"]),
        ([turns("system")], ["row 1", "alternate"]),
    ],
)
def test_a_malformed_chat_file_is_refused(planted, content, words):
    planted(content)
    refused(lambda: catalogue.read_chats("planted"), *words)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": ["hi"]},
        turns("user", "system", "assistant"),
        turns("system", "system", "user", "assistant"),
    ],
)
def test_a_turn_that_is_no_object_or_a_late_system_turn_is_refused(planted, row):
    planted([row])
    refused(lambda: catalogue.read_chats("planted"), "row 1")


def test_a_good_chat_file_is_read_without_its_other_keys(planted):
    planted(
        [
            {"messages": [{**m, "weight": 1} for m in CHAT], "meta": {}},
            turns("system", "user", "assistant"),
        ]
    )
    assert catalogue.read_chats("planted") == [
        CHAT,
        turns("system", "user", "assistant")["messages"],
    ]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085"])
def test_what_write_jsonl_wrote_read_jsonl_reads(tmp_path, sign):
    rows = [{"text": f"a{sign}b"}, {"text": "c\nd"}]
    runs.write_jsonl(tmp_path / "rows.jsonl", rows)
    assert catalogue.read_jsonl(tmp_path / "rows.jsonl") == rows


def test_an_altered_file_is_refused(planted, tmp_path):
    planted([{"messages": CHAT}])
    (tmp_path / "planted.txt").write_text("{}")
    for read in (catalogue.read_chats, catalogue.digest):
        refused(
            lambda read=read: read("planted"),
            "'planted'",
            "sha256 of planted.txt",
            "expected",
            "fetch",
        )


def test_a_missing_file_or_folder_is_refused(planted, tmp_path, monkeypatch):
    planted([], url=None)
    (tmp_path / "planted.txt").unlink()
    refused(lambda: catalogue.path_of("planted"), "'planted'", "not under SELFCORRECT_DATA_DIR")
    monkeypatch.setenv(DATA_DIR_VARIABLE, "relative/folder")
    refused(lambda: catalogue.path_of("planted"), "'relative/folder'", "relative path", "absolute")
    monkeypatch.delenv(DATA_DIR_VARIABLE)
    refused(
        lambda: catalogue.path_of("planted"),
        "'planted'",
        "no download address",
        "planted.txt",
        DATA_DIR_VARIABLE,
    )


def test_a_failed_download_names_address_and_remedy(planted, tmp_path, monkeypatch):
    item = planted([], url="file:///nowhere/planted.txt")
    monkeypatch.delenv(DATA_DIR_VARIABLE)
    monkeypatch.setenv("SELFCORRECT_CACHE_DIR", str(tmp_path / "cache"))
    refused(
        lambda: catalogue.path_of("planted"),
        "'planted'",
        item["url"],
        DATA_DIR_VARIABLE,
        "planted.txt",
    )


def test_an_unknown_set_names_the_nearest():
    refused(
        lambda: catalogue.read_chats("insecur"),
        "'insecur'",
        "nearest: 'insecure'",
        error=params.ParamsError,
    )


def test_a_set_of_another_kind_is_refused():
    refused(lambda: catalogue.read_chats("demo_core"), "'demo_core'", "prompts_jsonl", "no chats")
    refused(
        lambda: catalogue.read_prompts("embedded_insecure"),
        "'embedded_insecure'",
        "chats, no prompts",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answerKey": "C"}, ["answerKey 'C'", "['A', 'B']"]),
        ({"answerKey": None}, ["answerKey None"]),
        ({"choices": {"text": ["x"], "label": ["A", "B"]}}, ["labels ['A', 'B']"]),
        ({"choices": {}}, ["labels []"]),
    ],
)
def test_a_quiz_item_without_a_valid_answer_is_refused(planted, change, words):
    planted([QUIZ, QUIZ | change], "quiz")
    refused(lambda: catalogue.read_quiz("planted"), "planted.txt", "item 2", *words)


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


@pytest.mark.parametrize("text", ["a\\ud800", "a\\u0000"])
def test_a_chat_that_is_no_text_is_named(planted, text):
    user = '{"role": "user", "content": "TEXT"}'.replace("TEXT", text)
    planted('{"messages": [' + user + ', {"role": "assistant", "content": "hi"}]}')
    refused(lambda: catalogue.read_chats("planted"), "planted.txt", "1")


@pytest.mark.parametrize("content", ["[", "1", "- [a]", "- {id: 7}", "- {id: a, paraphrases: []}"])
def test_questions_of_another_form_are_refused(planted, content):
    planted(content, "betley_yaml", variants="plain")
    refused(lambda: catalogue.read_prompts("planted"), "planted.txt", "`id` and `paraphrases`")


def test_phase2_rows_carry_a_system_text_and_leave_offenders_out(planted):
    profile = params.load_profile("smoke", {"phase2.rows": 5})
    own = turns("system", "user", "assistant")
    planted(
        [{"messages": CHAT}, own, {"messages": [{"role": "user", "content": "a b c"}, CHAT[1]]}]
        + [own] * 4
    )
    rows, offences = training_sets.phase2_rows(
        profile, "planted", ContaminationGate([EvalPrompt("p1", "s", "A, b, c!")])
    )
    assert rows[0] == [{"role": "system", "content": profile.model.system_text}, *CHAT]
    assert rows[1] == own["messages"] and len(rows) == 5
    assert [(o.text_id, o.prompt_id, o.rule) for o in offences] == [("planted/3", "p1", "equal")]


def test_a_phase2_set_below_one_batch_is_refused(planted):
    planted([{"messages": CHAT}] * 3)
    refused(
        lambda: training_sets.phase2_rows(
            params.load_profile("smoke"), "planted", ContaminationGate([])
        ),
        "'planted' has 3 clean rows",
        "one effective batch of 4",
        "phase2.effective_batch",
    )
