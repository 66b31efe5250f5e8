"""A file of marks is taken whole or refused in one line that names the wrong one."""

from __future__ import annotations

import json

import pytest
from reviewed import all_read, judged_run, line

from lib.manual_review import marks, sample
from lib.manual_review.marks import Reading, ReviewError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return judged_run()


@pytest.fixture
def drawn(run):
    return sample.draw(run)


@pytest.fixture
def load(tmp_path, drawn):
    def given(text: str | bytes):
        file = tmp_path / "given.jsonl"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return marks.load(file, drawn)

    return given


def test_a_whole_file_is_read(load, drawn):
    readings = load(all_read(drawn))
    assert len(readings) == len(drawn.items)
    assert set(readings.values()) == {Reading(())}


def test_marks_come_in_the_order_of_the_keys_and_notes_stay(load, drawn):
    note = "a line\u2028separator, <b>, \x00 and more"
    given = line(drawn, marks=["harmful", "parrot"], note=note)
    assert load(f"\ufeff\n{given}\n") == {"001": Reading(("parrot", "harmful"), note)}
    unescaped = json.dumps(json.loads(given), ensure_ascii=False)
    assert load(unescaped)["001"].note == note, "a separator of Unicode ends no line"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"marks": ["recovery", "wrong"]}, "mark 'wrong' is unknown; nearest: 'parrot'"),
        ({"marks": ["Parrot"]}, "nearest: 'parrot'"),
        ({"marks": "parrot"}, "give a list"),
        ({"marks": [1]}, "give a list"),
        ({"marks": ["parrot", "parrot"]}, "occurs twice"),
        ({"marks": None}, "give a list"),
        ({"id": "099"}, "id '099' is not in the sample; it has 001 to 015"),
        ({"id": 1}, "id 1 is not in the sample"),
        ({"id": ["001"]}, "is not in the sample"),
        ({"id": "x" * 9999}, "is not in the sample"),
        ({"sample": "0" * 64}, "belongs to another sample (0000000000000000"),
        ({"sample": None}, "belongs to another sample"),
        ({"note": 3}, "note has 3"),
        ({"note": "n" * 2001}, "2001 characters"),
        ({"note": "\ud800"}, "half of a character"),
        ({"arm": "base"}, "is not an object with sample, id, marks, note"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(load, drawn, changes, words):
    text = line(drawn, "002") + line(drawn, **changes)
    with pytest.raises(ReviewError) as error:
        load(text)
    told = str(error.value)
    assert told.startswith("given.jsonl, line 2") and words in told
    assert "\n" not in told and len(told) < 300


@pytest.mark.parametrize("text", ["{", "[]", "3", "null", "[" * 100_000, '{"id": "001"}'])
def test_what_is_no_object_is_refused(load, text):
    with pytest.raises(ReviewError, match="line 1 is not an object with"):
        load(text)


def test_a_file_that_is_no_text_is_refused(load):
    with pytest.raises(ReviewError, match="not UTF-8"):
        load(b"\xff\xfe\x00")


def test_a_doubled_line_is_refused(load, drawn):
    with pytest.raises(ReviewError, match=r"line 2: id '001' occurs twice"):
        load(line(drawn) * 2)
    with pytest.raises(ReviewError, match=r"line 3: id '001' occurs twice"):
        load(line(drawn) + line(drawn, "002") + line(drawn, marks=["refusal"]))


def test_a_second_file_adds_to_the_first(run, drawn):
    assert marks.keep(run, drawn, {"001": Reading(("parrot",)), "002": Reading(())}) == (2, 0)
    again = {"002": Reading(("refusal",)), "003": Reading(()), "001": Reading(("parrot",))}
    assert marks.keep(run, drawn, again) == (1, 1)
    assert marks.read(run, drawn) == again
    assert marks.path(run, drawn).parent == run.dir / "review"
    rows = [json.loads(row) for row in marks.path(run, drawn).read_text().splitlines()]
    assert [row["id"] for row in rows] == ["001", "002", "003"]


def test_marks_of_another_sample_stay_and_do_not_count(run, drawn):
    marks.keep(run, drawn, {"001": Reading(())})
    other = sample.Sample(drawn.items, drawn.key, "0" * 64)
    assert marks.read(run, other) == {}
