"""The site in a real browser: silent, on its own, as wide as its window, and deaf to its data."""

# `run` is a fixture: a test takes it by its name.
# ruff: noqa: F811

import nbformat
import pandas as pd
import pytest
from browser import IN_A_BROWSER
from browser_tab import tab
from hostile_result import RESULT
from markupsafe import Markup
from nbformat import v4
from test_report import run  # noqa: F401

from lib.display import html, show
from lib.report import page, site
from lib.report.page import Link, Navigation
from lib.run.files import write_json, write_text

RUNS = "window.hacked = (window.hacked || 0) + 1"
HOSTILE = (
    f"<script>{RUNS}</script><img src=x onerror='{RUNS}'><svg onload='{RUNS}'>"
    f"<!-- --><a href='javascript:{RUNS}'>x</a></textarea></pre></bdi></td></table></div>"
    "</details></main><style>main{display:none}</style>\x1b[31mred\x1b[0m\u202egnp\x00"
    + "x"
    * 100_000
)
SIZES = [(1440, False), (390, True)]
# The elements that reach furthest to the right.
WIDE = """[...document.querySelectorAll("main *")].filter(e => !e.closest(".wide"))
    .map(e => [e.getBoundingClientRect().right | 0, e.tagName, e.className])
    .sort((a, b) => b[0] - a[0]).slice(0, 5).join("; ")"""

pytestmark = IN_A_BROWSER


@pytest.fixture
def pages(run):
    """A site whose every text, answer and output is hostile."""
    folder = run.dir / "samples" / "seed1"
    folder.mkdir(parents=True)
    rows = {"suite": "alignment", "prompt_id": "p", "prompt": HOSTILE, "sample_index": 0}
    pd.DataFrame([rows | {"completion": HOSTILE}]).to_parquet(folder / "arm.parquet")
    write_json(run.result, RESULT | {"order": ["arm"], "notes": [HOSTILE], "deviations": [HOSTILE]})
    table = show.table(pd.DataFrame({"completion": [HOSTILE]}))
    outputs = [
        v4.new_output("stream", text=HOSTILE),
        v4.new_output("display_data", data={"text/html": table}),
        v4.new_output("display_data", data={"application/javascript": RUNS}),
    ]
    cells = [v4.new_markdown_cell("## Samples"), v4.new_code_cell("show()", outputs=outputs)]
    notebook = nbformat.writes(v4.new_notebook(cells=cells))
    write_text(run.dir / "notebooks" / "01_build_traces.ipynb", notebook)
    return sorted(site.build(run).parent.glob("*.html"))


def test_no_page_speaks_asks_runs_or_overflows(pages, tmp_path):
    assert len(pages) == 3
    with tab(tmp_path / "profile") as opened:
        for path in pages:
            for width, dark in SIZES:
                found = opened.visit(path, width=width, dark=dark, ask="window.hacked || 0")
                assert (found.console, found.requests) == ([], []), path.name
                assert found.value == 0, f"{path.name} runs what a model wrote"
                wide = opened.evaluate(WIDE) if found.overflow else ""
                assert found.overflow == 0, f"{path.name}, {width} pixels: {wide}"


def test_a_page_with_each_fault_is_found(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<p style='width:3000px'>a</p><img src='http://example.invalid/x.png'>"
        f"<script>{RUNS}; console.error('b')</script>"
    )
    with tab(tmp_path / "profile") as opened:
        found = opened.visit(page, width=390, ask="window.hacked")
    assert any('"b"' in line for line in found.console)
    assert found.requests == ["http://example.invalid/x.png"]
    assert found.value == 1 and found.overflow > 1000


def test_a_dark_page_is_dark_and_a_light_one_light(pages, tmp_path):
    ask = "getComputedStyle(document.body).backgroundColor"
    index = next(page for page in pages if page.name == "index.html")
    with tab(tmp_path / "profile") as opened:
        light = opened.visit(index, ask=ask).value
        dark = opened.visit(index, dark=True, ask=ask).value
    assert (light, dark) == ("rgb(246, 246, 244)", "rgb(19, 19, 21)")


def test_the_answers_are_cut_and_what_cannot_be_seen_is_named(pages, tmp_path):
    ask = "document.querySelector('.answer .text').innerText"
    index = next(page for page in pages if page.name == "index.html")
    with tab(tmp_path / "profile") as opened:
        text = opened.visit(index, ask=ask).value
    for part in ("<script>", "⟨U+001B⟩[31mred", "⟨U+202E⟩gnp", "⟨U+0000⟩", "more characters"):
        assert part in text
    assert len(text) < 1000


def test_an_error_and_the_last_lines_are_read_without_moving_them_on_a_telephone(tmp_path):
    facts = {"Elapsed": "1 s"}
    body = html.render(
        "status",
        run_name="r",
        title="failed",
        state="failed",
        error="word " * 60 + "x" * 200,
        failed=True,
        at_work=False,
        command="make report",
        facts=facts,
        stages="",
        lines=["y" * 300],
        notebooks=[],
        has_report=False,
    )
    page.write(tmp_path, Navigation("r", [Link("Status", "index.html")]), "index.html", "S", body)
    ask = "Math.max(...[...document.querySelectorAll('pre')].map(e => e.scrollWidth-e.clientWidth))"
    with tab(tmp_path / "profile") as opened:
        found = opened.visit(tmp_path / "index.html", width=390, ask=ask)
    assert found.value == 0


@pytest.mark.parametrize(("width", "columns"), [(1440, 2), (390, 1)])
def test_figures_stand_two_abreast_where_there_is_room(tmp_path, width, columns):
    figures = "<section><h3>a</h3><figure></figure></section>" * 4
    body = Markup(f'<h2 id="a">a</h2><div class="figures">{figures}</div>')
    page.write(tmp_path, Navigation("r", [Link("R", "index.html")]), "index.html", "R", body)
    ask = (
        "getComputedStyle(document.querySelector('.figures')).gridTemplateColumns.split(' ').length"
    )
    with tab(tmp_path / "profile") as opened:
        assert opened.visit(tmp_path / "index.html", width=width, ask=ask).value == columns


@pytest.mark.parametrize("width", [1440, 390])
def test_no_heading_hides_under_the_menu_and_no_caption_is_cut(tmp_path, width):
    links = [Link(name * 9, f"{name}.html") for name in "abcdef"]
    table = show.table(pd.DataFrame({name * 9: ["x" * 30] for name in "abcdefgh"}), "word " * 30)
    body = Markup('<p style="height:3000px"></p><h2 id="here">Here</h2><div class="wide">{}</div>')
    tall = Markup('<p style="height:3000px"></p>')
    page.write(tmp_path, Navigation("r", links), "index.html", "R", body.format(table) + tall)
    ask = """(() => { document.getElementById("here").scrollIntoView();
        const menu = document.querySelector(".top").getBoundingClientRect().bottom;
        const said = document.querySelector(".said").getBoundingClientRect().right;
        return [document.getElementById("here").getBoundingClientRect().top >= menu,
            innerWidth > 1000 || said <= innerWidth]; })()"""
    with tab(tmp_path / "profile") as opened:
        assert opened.visit(tmp_path / "index.html", width=width, ask=ask).value == [True, True]
