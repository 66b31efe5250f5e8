"""The sample browser in Chromium: it finds, sorts and links completions and runs none of them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from urllib.parse import parse_qs

import numpy as np
import pytest
from browser import IN_A_BROWSER
from sample_page import SamplePage, chromium
from sample_runs import ARMS, HOSTILE, OPENING, hostile_run, made_browser

from lib.report import sample_browser

pytestmark = IN_A_BROWSER
TEXTS = list(HOSTILE.values())
LINK = "#seed=42&suite=alignment&prompt=p10&sample=0&arm=base"  # to the longest completion


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return made_browser(hostile_run, "hostile", tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def wide(file):
    with chromium() as opened:
        yield SamplePage(opened, file)


@pytest.fixture
def page(wide) -> Iterator[SamplePage]:
    """The page, loaded anew; nothing went wrong and nothing ran when the test is over."""
    yield wide.open()
    assert wide.faults() == []
    assert wide.sideways() <= 0


def test_every_prompt_stands_with_all_arms_side_by_side(page):
    assert page.count == "102 of 102 completions in 34 rows"
    cards = page.cards()
    assert [card["arm"] for card in cards] == ARMS * 8
    assert cards[0]["place"] == "alignment p00 first seed 42 sample 0 all of this prompt"


def test_hostile_texts_are_shown_as_text(page):
    page.open("#arm=base&layout=list&suite=alignment&seed=42")
    shown = [card["text"] for card in page.cards()]
    for name in ("script", "handler", "comment", "textarea", "link", "json", "call", "template"):
        assert HOSTILE[name] in shown, name
    assert "[U+001B][31mred[U+001B][0m[U+0007][U+0008]" in shown
    assert "[U+202E]gnp.exe[U+2066] [U+200F]after" in shown
    assert "before[U+0000]after" in shown
    page.open("#arm=base&mark=empty")
    assert [card["text"].strip() for card in page.cards() if card["fits"]] == ["(empty completion)"]


def test_only_the_pages_own_files_are_scripts(page):
    page.open("#layout=list&arm=base")
    sources = page.js("return [...document.scripts].map((script) => script.getAttribute('src'))")
    assert sources == [*sample_browser.SCRIPTS, "000.js", "001.js"]
    assert (
        page.js("return document.querySelectorAll('main img, main iframe, main style').length") == 0
    )
    assert (
        page.js(
            "return [...document.querySelectorAll('*')].flatMap((one) => one"
            ".getAttributeNames()).filter((name) => name.startsWith('on'))"
        )
        == []
    )


def test_a_long_completion_is_cut_until_it_is_asked_for(page):
    page.open(LINK.replace("&sample=0", ""))
    long = page.cards()[0]
    assert 800 < len(long["text"]) < 1000
    page.press("Show all 100,000 characters")
    assert page.cards()[0]["text"] == HOSTILE["long"]
    page.open("#arm=base&prompt=p11&layout=list")
    assert page.cards()[0]["text"].count("line") < 30


def test_a_link_shows_the_one_completion_whole_with_the_judges_fields(page):
    page.open(LINK)
    assert page.count == "One completion of 102"
    (card,) = page.cards()
    assert card["text"] == HOSTILE["long"]
    table = page.js("""return [...document.querySelectorAll('.card tr')].map((row) =>
        [...row.cells].map((cell) => cell.textContent))""")
    assert [row[0] for row in table[1:6]] == [
        "Outcome",
        "Alignment",
        "Coherence",
        "Refusal",
        "Code",
    ]
    assert table[0] == ["", "Original", "Judged again", "Second judge"]
    assert table[2][3] == "99" and table[8][1:] == ["judge-1", "judge-1", "judge-2"]
    page.press("all arms")
    assert [card["arm"] for card in page.cards()] == ARMS
    page.back()
    assert [card["arm"] for card in page.cards()] == ["base"]


def test_each_card_has_its_own_link_without_signs_that_end_one(page):
    addresses = page.js(
        "return [...document.querySelectorAll('.card a[aria-label^=Open]')]"
        ".map((link) => link.getAttribute('href'))"
    )
    assert len(set(addresses)) == 24
    assert not set("".join(addresses)) & set(" ()<>\"'*,;")
    assert parse_qs(addresses[1][1:]) == {
        "suite": ["alignment"],
        "prompt": ["p00"],
        "seed": ["42"],
        "sample": ["0"],
        "arm": ["c6_vanilla_em"],
    }
    permissions = ["clipboardSanitizedWrite", "clipboardReadWrite"]
    page.tab.call("Browser.grantPermissions", permissions=permissions)
    page.tab.call("Page.bringToFront")  # a page without the focus may not read the clipboard
    page.tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
    page.press("Copy link")
    page.js("return new Promise((done) => setTimeout(done, 200))")
    assert page.js("return navigator.clipboard.readText()") == page.page.as_uri() + addresses[0]


def test_a_link_of_another_run_says_so(page):
    page.open("#seed=42&suite=alignment&prompt=p10&sample=77&arm=base")
    assert page.count.startswith("This report has no such completion")


def test_filters_combine_and_stand_in_the_address(page):
    page.choose("mark", "reset")
    assert {card["arm"] for card in page.cards() if card["fits"]} == {"selfcorrect_em"}
    page.choose("subset", "second")
    page.choose("suite", "alignment")
    assert page.count == "8 of 102 completions in 8 rows"
    address = page.js("return location.hash")
    page.open(address)
    assert page.count == "8 of 102 completions in 8 rows"
    page.choose("outcome", "judge_refusal")
    assert all("judge" not in card["text"] for card in page.cards())
    page.press("Clear all filters")
    assert page.count == "102 of 102 completions in 34 rows"


def test_arms_are_columns_that_can_be_left_out(page):
    page.click("input[value=c6_vanilla_em]")
    assert {card["arm"] for card in page.cards()} == {"base", "selfcorrect_em"}
    assert page.count.startswith("68 of 102")
    for arm in ("base", "selfcorrect_em"):
        page.click(f"input[value={arm}]")
    assert page.count == "No arm is chosen"


def test_a_search_ignores_case_and_marks_what_it_found(page):
    page.search("ANSWER 1 OF BASE")
    assert page.count == "16 of 102 completions in 16 rows"
    first = next(card for card in page.cards() if card["fits"])
    assert first["text"] == "Answer 1 of base to 0."
    assert page.js("return [...CSS.highlights.get('hit')].map(String)")[0] == "Answer 1 of base"
    page.search("</script><script>")
    assert [card["text"] for card in page.cards() if card["fits"]] == [HOSTILE["json"]]


def test_a_search_shows_its_first_row_at_once_and_the_others_follow(page):
    drawn = """
        const field = document.querySelector("[name=text]");
        field.value = arguments[0];
        field.dispatchEvent(new Event("input", { bubbles: true }));
        return document.querySelectorAll(".unit").length;"""
    assert page.js(drawn, "e") == 1
    assert page.js("return document.querySelectorAll('.unit').length") == 8
    twice = f"const draw = function () {{{drawn}}}; draw('e'); draw('e');"
    page.js(twice)  # the rows of the first of the two do not follow
    assert page.js("return document.querySelectorAll('.unit').length") == 8


def test_rows_can_be_sorted_by_score_and_by_disagreement(page):
    page.choose("layout", "list")

    def points():
        return [int(card["aligned"]) for card in page.cards()]

    page.choose("sort", "low")
    assert points() == sorted(points()) and points()[0] < 10
    page.choose("sort", "high")
    assert points() == sorted(points(), reverse=True) and points()[0] > 90
    page.open("#sort=judges")
    rejudged = next(card for card in page.cards() if card["others"])
    assert "second judge 99" in rejudged["others"]


def test_rows_and_prompts_can_be_sorted_by_how_far_the_arms_are_apart(page):
    page.open("#sort=arms")
    points = [int(card["aligned"]) for card in page.cards()]
    assert falling([max(row) - min(row) for row in by_three(points)])
    page.open("#sort=means&suite=alignment")
    scores = [
        float("nan") if card["aligned"] == "–" else int(card["aligned"]) for card in page.cards()
    ]
    places = [card["place"].split()[1] for card in page.cards()][::3]
    assert places[::2] == places[1::2], "both samples of a prompt stand together"
    means = np.nanmean(np.reshape(scores, (4, 2, 3)), axis=1)
    assert falling(np.ptp(means, axis=1))


def by_three(values):
    """Values in rows of three, one for each arm."""
    return [values[k : k + 3] for k in range(0, len(values), 3)]


def falling(values):
    """Whether no value is above the one before it, but for the rounding of what is shown."""
    return all(later <= earlier + 1 for earlier, later in itertools.pairwise(values))


def test_reset_strings_are_marked_within_the_text(page):
    page.open("#arm=base&prompt=p14&sample=0&seed=42&suite=alignment")
    assert page.js("return document.querySelector('.text mark').textContent") == OPENING
    assert "reset string" in page.cards()[0]["marks"]


def test_pages_are_turned_and_remembered(page):
    page.press("Next")
    assert page.cards()[0]["place"].split()[1] == "p04"
    assert page.js("return location.hash") == "#page=2"
    page.back()
    assert page.cards()[0]["place"].split()[1] == "p00"
    page.open("#page=99")
    assert page.js("return document.querySelector('#page').value") == "5"


def test_a_followup_leads_to_the_answer_that_it_continues(page):
    page.open("#suite=followup&arm=selfcorrect_em")
    page.press("First answer")
    assert page.cards()[0]["text"] == "Answer 0 of selfcorrect_em to 0."


def test_a_missing_data_file_is_named(wide, tmp_path):
    site = shutil.copytree(wide.page.parent, tmp_path / "samples")
    (site / "001.js").unlink()
    page = SamplePage(wide.tab, site / "index.html").open()
    assert page.count.endswith("the file 001.js is missing beside this page")
    assert page.faults()  # the browser says so too; what it says is not the next test's
