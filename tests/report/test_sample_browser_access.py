"""The sample browser for everybody: phone and desk, light and dark, keyboard, screen reader."""

from __future__ import annotations

from importlib import resources

import pytest
from browser import IN_A_BROWSER
from sample_page import SamplePage, chromium
from sample_runs import hostile_run, made_browser

pytestmark = IN_A_BROWSER
AXE = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
VIEWS = ("", "#layout=list&sort=low", "#arm=base&prompt=p10&sample=0&seed=42&suite=alignment")
# Faults that axe must see, each planted into the page.
PLANTED = {
    "label": "document.querySelector('[name=text]').closest('label').replaceWith("
    "document.querySelector('[name=text]'))",
    "color-contrast": "document.querySelector('.where').style.color = '#777'",
    "select-name": "document.querySelectorAll('label').forEach((one) => "
    "one.replaceWith(...one.childNodes))",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return made_browser(hostile_run, "hostile", tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module", params=[(1440, False), (1440, True), (390, False), (390, True)])
def page(file, request):
    with chromium(*request.param) as opened:
        page = SamplePage(opened, file)
        page.dark = request.param[1]
        yield page


def broken_rules(page: SamplePage) -> list[str]:
    """The rules that axe finds broken, each with the first element that breaks it."""
    page.js(AXE)
    found = page.tab.evaluate("axe.run().then((done) => done.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


@pytest.mark.parametrize("address", VIEWS)
def test_axe_finds_nothing_and_nothing_leaves_the_page(page, address):
    page.open(address)
    page.open_filters()
    page.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert broken_rules(page) == []
    assert page.sideways() <= 0
    ground = page.js("return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)")
    assert (int(ground[0]) < 60) == page.dark
    assert page.faults() == []


def test_what_axe_should_find_it_finds(page):
    for rule, plant in PLANTED.items():
        page.open()
        page.open_filters()
        page.js(plant)
        assert any(found.startswith(f"{rule}:") for found in broken_rules(page)), rule


def test_every_text_stays_in_its_card(page):
    for number in range(1, 6):
        page.open(f"#page={number}")
        beyond = page.js("""return [...document.querySelectorAll('.card')].flatMap((card) => {
            const outer = card.getBoundingClientRect();
            return [...card.querySelectorAll('*')].map((one) => one.getBoundingClientRect())
                .filter((inner) => inner.right > outer.right + 1 || inner.left < outer.left - 1
                    || inner.bottom > outer.bottom + 1)
                .map(() => card.textContent.slice(0, 80));
        })""")
        assert beyond == []
        assert page.sideways() <= 0


def test_the_keyboard_reaches_search_filters_pages_and_cards(page):
    page.open()
    page.open_filters()
    reached = []
    for _ in range(40):
        page.tab.press("Tab")
        reached.append(
            page.js(
                "const one = document.activeElement; return one.name || one.id || one.innerText"
            )
        )
        if reached[-1] == "Copy link":
            break
    assert [name for name in reached if name in ("text", "sort", "suite", "mark")] == [
        *("text", "sort", "suite", "mark")
    ]
    wanted = ["page", "Next", "Open", "Copy link"]
    assert [name for name in reached if name in wanted] == wanted
    page.open()
    page.js("[...document.querySelectorAll('.pager button')].at(-1).focus()")
    page.tab.press("Enter")
    assert page.js("return document.activeElement.id") == "results"
    assert page.js("return location.hash") == "#page=2"


def test_the_skip_link_keeps_the_view(page):
    page.open("#arm=base&layout=list")
    before = page.count
    page.js("document.querySelector('.skip').click()")
    assert page.count == before
