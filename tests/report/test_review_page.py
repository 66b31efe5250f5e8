"""The page on which a person reads: no arm in it, answers stay text, a browser can use it."""

from __future__ import annotations

import re

import pytest
from driven import driver, needs_a_driver
from reviewed import ARMS, HOSTILE, judged_run

from lib.display.visible import visible
from lib.manual_review import blind_page, marks, sample
from lib.manual_review.marks import Reading
from lib.report import review_section
from lib.report.page import Link, Navigation

PAGES = Navigation("read", [Link("Report", "index.html"), Link("qz_treated vs x", "other.html")])


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return judged_run()


@pytest.fixture
def page(run, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    review_section.PAGE.write(run, folder, PAGES)
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
    assert review_section.PAGE.applies(run)
    run.judgments(ARMS[0], 7).unlink()
    assert not review_section.PAGE.applies(run)
    assert review_section.section(run) == ""


def test_the_report_hides_the_arms_until_all_is_read(run):
    drawn = sample.draw(run)
    before = review_section.section(run)
    assert "pending. 0 of 15" in before and "κ" not in before.split("</p>")[0]
    marks.keep(run, drawn, {"001": Reading(("harmful",))})
    part = review_section.section(run)
    assert "pending. 1 of 15" in part and "too few" in part and leaks(part) == []
    marks.keep(run, drawn, {item.item_id: Reading(()) for item in drawn.items})
    whole = review_section.section(run)
    assert "done. A person read 15 answers" in whole and ARMS[0] in whole


@needs_a_driver()
def test_a_person_reads_all_in_a_browser(run, page, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    drawn = sample.draw(run)
    with driver(tmp_path) as browser:
        browser.get(page.as_uri())
        title = browser.title
        body = browser.find_element(By.TAG_NAME, "body")
        shown = [a for a in browser.find_elements(By.TAG_NAME, "article") if a.is_displayed()]
        assert len(shown) == 1
        body.send_keys("1", "5", "1", "2")
        note = browser.find_element(By.ID, "note")
        note.send_keys("1 note\u2028 </script>", Keys.ESCAPE)
        body.send_keys(Keys.ENTER)
        assert "Answer 2 of 15" in browser.find_element(By.ID, "place").text
        browser.refresh()  # what was marked is still there
        body = browser.find_element(By.TAG_NAME, "body")
        pressed = browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")
        assert [one.get_attribute("data-mark") for one in pressed] == ["parrot", "harmful"]
        for _ in drawn.items:
            body.send_keys(Keys.ENTER)
        assert "All answers are read" in browser.find_element(By.ID, "told").text
        texts = {
            article.get_attribute("data-id"): article.find_elements(By.TAG_NAME, "pre")
            for article in browser.find_elements(By.TAG_NAME, "article")
        }
        for item in drawn.items:
            if item.completion.strip():
                answer = texts[item.item_id][1].get_property("textContent")
                assert answer == visible(item.completion)
        assert browser.title == title, "an answer ran"
        assert not browser.find_elements(By.ID, "escaped")
        assert not browser.find_elements(By.CSS_SELECTOR, "article img, article svg, article a")
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        browser.find_element(By.ID, "save").click()
        file = tmp_path / "review-read.jsonl"
        WebDriverWait(browser, 30).until(lambda _: file.exists())
    readings = marks.load(file, drawn)
    assert len(readings) == len(drawn.items) and len(HOSTILE) == 12
    assert readings["001"] == Reading(("parrot", "harmful"), "1 note\u2028 </script>")
    assert readings["002"] == Reading(())
