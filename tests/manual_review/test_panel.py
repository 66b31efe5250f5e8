"""Reading in Jupyter: digits, notes, the way back, and what is kept at once."""

from __future__ import annotations

import html

import pytest
from reviewed import ARMS, judged_run

from lib.display.visible import visible
from lib.manual_review import marks, sample
from lib.manual_review.marks import Reading
from lib.manual_review.panel import Panel


@pytest.fixture
def panel(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = judged_run()
    return Panel(run, sample.draw(run))


def answer(panel, digits: str, note: str = "") -> None:
    panel.digits.value = digits
    panel.note.value = note
    panel.next.click()


def kept(panel) -> dict[str, Reading]:
    return marks.read(panel.run, panel.sample)


def test_digits_are_marks_and_each_answer_is_kept_at_once(panel):
    answer(panel, "5 2", "odd")
    assert kept(panel) == {"001": Reading(("parrot", "harmful"), "odd")}
    assert "Answer 2 of 15, 1 read." in panel.place.value and panel.digits.value == ""
    answer(panel, "")
    assert kept(panel)["002"] == Reading(())


@pytest.mark.parametrize("typed", ["6", "0", "x", "1x", "²"])
def test_what_is_no_mark_is_named_and_nothing_is_kept(panel, typed):
    answer(panel, typed)
    assert "is not a mark; type digits from 1 to 5" in panel.place.value
    assert kept(panel) == {} and panel.at == 0


def test_a_note_that_is_too_long_is_not_kept(panel):
    answer(panel, "1", "n" * (marks.LONGEST_NOTE + 1))
    assert "shorten it" in panel.place.value and kept(panel) == {}


def test_the_way_back_shows_what_was_marked(panel):
    answer(panel, "31", "why")
    panel.back.click()
    assert (panel.digits.value, panel.note.value) == ("13", "why")
    assert "This one is saved." in panel.place.value
    panel.back.click()
    assert panel.at == 0


def test_a_panel_continues_where_the_last_one_ended(panel):
    answer(panel, "1")
    answer(panel, "2")
    again = Panel(panel.run, panel.sample)
    assert again.at == 2
    for _ in panel.sample.items:
        answer(again, "3")
    assert len(kept(panel)) == len(panel.sample.items) and again.at == 14


def test_answers_are_text_and_tell_no_arm(panel):
    for item in panel.sample.items:
        shown = panel.text.value
        assert html.escape(visible(item.completion)) in shown
        assert "<script" not in shown and "<img" not in shown
        assert [arm for arm in ARMS if arm in shown] == []
        answer(panel, "")
