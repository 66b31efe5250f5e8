"""The sample browser over 30,000 completions: small enough, complete, every control at work."""

from __future__ import annotations

import pytest
from browser import IN_A_BROWSER
from full_site import full_run
from sample_page import SamplePage, chromium

from lib.report import sample_browser, site

pytestmark = [IN_A_BROWSER, pytest.mark.slow]
MEGABYTES = 25  # of the whole site


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The sample browser in the whole site of a full-scale run."""
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFCORRECT_RUNS_DIR", str(folder / "runs"))
        patch.setattr(site, "ROOT", folder)
        return site.build(full_run("large")).parent / sample_browser.PAGE


@pytest.fixture(scope="module")
def page(file):
    with chromium() as opened:
        yield SamplePage(opened, file).open()


def test_the_whole_site_is_small(file):
    whole = file.parent.parent
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    assert (whole / "04_sample_and_capability.rest.seed42.html").exists()
    assert size < MEGABYTES * 1e6


def test_all_completions_are_there_and_only_a_page_of_them_is_drawn(page):
    page.open()
    assert page.count == "30,528 of 30,528 completions in 5,088 rows"
    assert len(page.cards()) == 48
    assert page.faults() == []


def test_sorting_filtering_paging_and_links_work_on_all_of_them(page):
    page.open("#layout=list&sort=low")
    lowest = [int(card["aligned"]) for card in page.cards()]
    assert lowest == [0] * 30
    page.open("#seed=43&arm=base&prompt=p07")
    assert page.count == "53 of 30,528 completions in 53 rows"
    page.open("#page=636")
    assert page.cards()[-1]["place"].split()[1] == "p47"
    page.search("no model wrote this")
    assert page.count == "No completion fits"
    page.search("")
    page.open("#seed=43&arm=selfcorrect_em&suite=alignment&prompt=p47&sample=42")
    assert page.count == "One completion of 30,528"
    word = page.cards()[0]["text"][-40:]
    page.open()
    page.search(word)
    assert [card["text"][-40:] for card in page.cards() if card["fits"]] == [word]
    assert page.faults() == []


def test_each_arm_has_its_part_in_a_word(page):
    page.open()
    parts = page.js("return [...document.querySelectorAll('.part')].map((one) => one.textContent)")
    assert {"untrained", "undefended", "defended"} <= set(parts) and len(parts) == 48
