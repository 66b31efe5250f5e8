"""Inputs: a malformed or altered file is one DataError with file, place, reason and remedy."""

import pytest
from planted import planter, refused

from lib.config import params
from lib.config.arguments import ParamsError
from lib.data import catalogue, training_sets
from lib.data.catalogue import DATA_DIR_VARIABLE
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.data.text_files import read_jsonl
from lib.run.files import write_jsonl

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
QUIZ = {
    "id": "q",
    "question": "?",
    "choices": {"text": ["x", "y"], "label": ["A", "B"]},
    "answerKey": "A",
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    return planter(tmp_path, monkeypatch)


def turns(*roles):
    return {"messages": [{"role": role, "content": "text"} for role in roles]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"messages": []}\n\n{"messages": [}\n', ["planted.txt", "line 3", "not JSON", "mend"]),
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
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


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
        error=ParamsError,
    )


def test_a_set_of_another_kind_is_refused():
    refused(lambda: catalogue.read_chats("demo_core"), "'demo_core'", "prompts_jsonl", "not chats")
    refused(
        lambda: catalogue.read_prompts("embedded_insecure"),
        "'embedded_insecure'",
        "chats, not prompts",
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


@pytest.mark.parametrize("text", ["a\\ud800", "a\\u0000"])
def test_a_chat_that_is_no_text_is_named(planted, text):
    user = '{"role": "user", "content": "TEXT"}'.replace("TEXT", text)
    planted('{"messages": [' + user + ', {"role": "assistant", "content": "hi"}]}')
    refused(lambda: catalogue.read_chats("planted"), "planted.txt", "1")


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
