"""The page on which a person reads: no arm in it, answers stay text, a browser can use it."""

from __future__ import annotations

import re
import time

import nbformat
import pytest
from browser import IN_A_BROWSER
from browser_tab import WAIT, tab
from hostile_result import RESULT
from nbformat import v4
from reviewed import ARMS, judged_run

from lib.display.visible import visible
from lib.manual_review import blind_page, marks, sample
from lib.manual_review.marks import Reading
from lib.report import review_section, site
from lib.report.page import Link, Navigation
from lib.run.files import write_json, write_text

PAGES = Navigation("read", [Link("Report", "index.html"), Link("qz_treated vs x", "other.html")])


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return judged_run()


@pytest.fixture
def page(run, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    review_section.PAGE.write(review_section.read(run), folder, PAGES)
    (path,) = folder.iterdir()
    return path


def leaks(text: str) -> list[str]:
    """Names of arms, and columns of the key, that a text holds."""
    named = [name for name in (*ARMS, sample.LOWEST, sample.HIGHEST, sample.DRAWN) if name in text]
    return named + re.findall(r'data-(?!id|sample|run|mark)[a-z-]+="', text)


def test_the_page_holds_nothing_of_the_arm(page, run):
    text = page.read_text(encoding="utf-8")
    assert leaks(text) == [] and leaks(page.name) == []
    drawn = sample.draw(run)
    ids = re.findall(r'<article data-id="(\d+)"', text)
    assert ids == [item.item_id for item in drawn.items]
    assert ids == [f"{number:03d}" for number in range(1, len(ids) + 1)], "an id is only a number"


@pytest.mark.parametrize(
    "planted", ["<p>qz_treated</p>", '<article data-arm="1">', "<!-- lowest score -->"]
)
def test_a_leak_would_be_found(page, planted):
    assert leaks(page.read_text(encoding="utf-8") + planted)


def test_two_arms_that_change_names_give_the_same_page(run, tmp_path):
    """All but the fingerprint, which has to tell them apart."""
    first = sample.draw(run)
    renamed = sample.draw(judged_run("renamed", ["qz_other", "qz_third", "qz_fourth"]))
    assert first.fingerprint != renamed.fingerprint
    pages = [
        str(blind_page.body("r", found)).replace(found.fingerprint, "")
        for found in (first, renamed)
    ]
    assert pages[0] == pages[1]


def test_hostile_answers_stand_in_the_page_as_text(page):
    text = page.read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert "document.title" not in script
    assert 'onerror="' not in text and "<svg" not in text and "<img" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    assert text.count("(empty completion)") == text.count("<p><i>")


def test_a_run_that_is_not_judged_has_no_page(run):
    assert review_section.PAGE.read(run) is not None
    run.judgments(ARMS[0], 7).unlink()
    assert review_section.PAGE.read(run) is None
    assert review_section.section(None) == ""


def test_the_sample_is_drawn_once_for_a_whole_site(run, tmp_path, monkeypatch):
    write_json(run.result, RESULT)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    drawn = []
    draw = sample.draw
    monkeypatch.setattr(sample, "draw", lambda of: drawn.append(of) or draw(of))
    notebook = nbformat.writes(v4.new_notebook())
    write_text(run.dir / "notebooks" / "01_build_traces.ipynb", notebook)
    page = site.build(run).read_text(encoding="utf-8")
    assert len(drawn) == 1
    assert page.index(f'href="{review_section.LINK.file}"') < page.index('id="answers"')
    assert page.index('id="manual-review"') < page.index('id="answers"')


def test_the_report_hides_the_arms_until_all_is_read(run):
    drawn = sample.draw(run)
    before = review_section.section(review_section.read(run))
    assert "pending. 0 of 15" in before and "κ" not in before.split("</p>")[0]
    marks.keep(run, drawn, {"001": Reading(("harmful",))})
    part = review_section.section(review_section.read(run))
    assert "pending. 1 of 15" in part and "too few" in part
    assert [name for name in ARMS if name in part] == []
    marks.keep(run, drawn, {item.item_id: Reading(()) for item in drawn.items})
    whole = review_section.section(review_section.read(run))
    assert "done. A person read 15 answers" in whole and ARMS[0] in whole


MARK = """[...document.querySelectorAll("[aria-pressed=true]")].map(e => e.dataset.mark).join()"""
SHOWN = """[...document.querySelectorAll("article")].filter(e => !e.hidden).length"""
ANSWERS = """[...document.querySelectorAll("article")].map(
    article => [article.dataset.id, article.querySelector("pre[tabindex]")?.textContent])"""
FOREIGN = """document.querySelectorAll("article :is(img, svg, a, script, h1), #escaped").length"""


def text_of(element_id: str) -> str:
    return f"document.getElementById({element_id!r}).textContent"


@IN_A_BROWSER
def test_a_person_reads_all_in_a_browser_with_the_keys(run, page, tmp_path):
    drawn = sample.draw(run)
    note = "1 note\u2028 </script>"
    with tab(tmp_path / "profile") as opened:
        opened.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        found = opened.visit(page, ask="document.title")
        assert (found.console, found.requests, found.overflow) == ([], [], 0)
        assert opened.evaluate(SHOWN) == 1
        for key in "1512":  # the second 1 takes the first one back
            opened.press(key)
        opened.evaluate("document.getElementById('note').focus()")
        opened.call("Input.insertText", text=note)
        opened.press("5")  # goes into the note
        opened.press("Escape")
        opened.press("Enter")
        assert opened.evaluate(text_of("place")) == "Answer 2 of 15."
        again = opened.visit(page, width=390, dark=True)  # what was marked is still there
        assert again.overflow == 0 and opened.evaluate(MARK) == "parrot,harmful"
        for _ in drawn.items:
            opened.press("Enter")
        assert "All answers are read" in opened.evaluate(text_of("told"))
        answers = dict(opened.evaluate(ANSWERS))
        for item in drawn.items:
            expected = visible(item.completion) if item.completion.strip() else None
            assert answers[item.item_id] == expected
        assert opened.evaluate("document.title") == found.value, "an answer ran"
        assert opened.evaluate(FOREIGN) == 0
        opened.evaluate("document.getElementById('save').click()")
        file = tmp_path / "review-read.jsonl"
        wait_for(file)
    readings = marks.load(file, drawn)
    assert len(readings) == len(drawn.items)
    assert readings["001"] == Reading(("parrot", "harmful"), note + "5")
    assert readings["002"] == Reading(())


def wait_for(file) -> None:
    """Until the browser has written a download under its own name."""
    end = time.monotonic() + WAIT
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert file.exists(), "the page saved no file"
