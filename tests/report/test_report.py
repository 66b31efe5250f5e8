"""The site: complete, readable without a network, harmless whatever a model or a result said."""

import html
import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from hostile_result import EVIL, PAIRED, RESULT
from nbformat import v4

from lib.display import show
from lib.report import site
from lib.run import runs
from lib.run.files import sha256, write_json, write_text

# As an attribute's value.
OUTSIDE = re.compile(r"^\s*(?:[a-z]+:)?//|^\s*(?:javascript|file|https?):", re.IGNORECASE)
IN_STYLE = re.compile(r"""@import|url\(\s*["']?(?!data:)""", re.IGNORECASE)
ACTIVE = {"script", "link", "iframe", "object", "embed", "base", "form", "frame"}
PIXEL = bytes.fromhex("89504e470d0a1a0a")
ARMS = "Mean alignment and coherence of every arm."  # how a figure's text begins


class Harm(HTMLParser):
    """Collects what a browser would fetch from outside or run, as it parses the page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.within = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.within = tag
        if tag in ACTIVE:
            self.found.append(tag)
        self.found += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on")
            or OUTSIDE.search(value or "")
            or (name == "style" and IN_STYLE.search(value))
        ]

    def handle_data(self, data):
        if self.within == "style":
            self.found += IN_STYLE.findall(data)

    def handle_endtag(self, tag):
        self.within = None


def notebook():
    """An executed notebook that shows a hostile completion in every form that the project uses."""
    outputs = [
        v4.new_output("stream", text=f"{EVIL}\n"),
        v4.new_output("execute_result", data={"text/plain": EVIL}),
        v4.new_output(
            "display_data", data={"text/html": show.table(pd.DataFrame({"completion": [EVIL]}))}
        ),
        v4.new_output("error", ename="E", evalue=EVIL, traceback=[f"\x1b[31m{EVIL}\x1b[0m"]),
    ]
    code = v4.new_code_cell(f"text = {EVIL!r}", outputs=outputs, execution_count=1)
    return v4.new_notebook(cells=[v4.new_markdown_cell("# Samples\n\n$x^2$"), code])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder with everything that the site shows; the site is written below tmp_path."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(site, "ROOT", tmp_path)
    made = runs.Run("made")
    write_json(made.result, RESULT)
    write_text(made.dir / "notebooks" / "01_build_traces.ipynb", nbformat.writes(notebook()))
    write_json(
        made.manifest,
        {"environment": {"python": EVIL}, "overrides": EVIL, "preregistration": {}, "profile": {}},
    )
    write_json(
        made.dir / "manifests" / "s.json", {"seconds": 1.5, "finished": EVIL, "fingerprint": EVIL}
    )
    figures = made.dir / "stats" / "figures"
    figures.mkdir()
    for name in ("arms.png", "arms.svg", "judge.png"):
        (figures / name).write_bytes(PIXEL)
    listed = {name: sha256(figures / name) for name in ("arms.png", "arms.svg")}
    write_json(made.result, RESULT | {"figures": listed})
    return made


@pytest.fixture
def pages(run):
    index = site.build(run)
    return {page.name: page.read_text(encoding="utf-8") for page in index.parent.glob("*.html")}


@pytest.mark.parametrize(
    "planted",
    [
        EVIL,
        "<a href=//a/b>",
        "<IMG SRC = 'HTTPS://a'>",
        "<b onclick=x>",
        "<style>a{background:url('http://a/b')}</style>",
        "<style>@import 'x'</style>",
        '<p style="background:url(//a)">',
        "<script>import('https://a')</script>",
        "<link rel=stylesheet>",
        "<a href='javascript:x'>",
    ],
)
def test_harm_would_be_found(planted):
    assert Harm(f"<p>text</p>{planted}").found


def test_no_page_reaches_outside_or_runs_what_a_model_wrote(pages):
    assert set(pages) == {"index.html", "01_build_traces.html", "glossary.html"}
    for name, page in pages.items():
        assert Harm(page).found == [], name
        assert "&lt;script&gt;" in page or name == "glossary.html"
        assert page.startswith("<!doctype html>")
        assert '<meta charset="utf-8">' in page


def test_the_index_shows_verdict_notes_figures_and_dashes(pages):
    page = pages["index.html"]
    assert ">null</a>" in page and f'<li class="note">note {html.escape(EVIL)}</li>' in page
    assert "one-sided p" not in page and "interval –" in page, (
        "a test that was not made is not spoken of"
    )
    image = re.search(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,iVBORw0KGgo=">', page)
    assert image and image[1].startswith(ARMS)
    assert '<a href="figures/arms.svg">SVG</a>' in page
    assert '<a href="figures/arms.png">PNG</a>' in page
    assert '<a href="01_build_traces.html">' in page
    assert "The gain in alignment, prompt by prompt" not in page, "a figure that does not exist"
    # What a run cannot show stands in the headline.
    assert page.index("note ") < page.index("<h2")


def test_what_takes_the_finding_away_is_in_sight_and_other_caveats_are_folded(run):
    last = "The judge's AUROC 0.7 is below 0.9: no conclusion about alignment follows."
    write_json(run.result, RESULT | {"notes": ["one", "two", "three", "four", last]})
    page = site.build(run).read_text(encoding="utf-8")
    caveats = page.split('class="caveats"')[1].split("</header>")[0]
    in_sight, folded = caveats.split("<details>")
    assert "no conclusion about alignment" in in_sight and ">two<" in in_sight
    assert "2 more caveats" in folded and ">three<" in folded and ">four<" in folded


def test_a_report_shows_only_the_figures_of_its_result(run):
    page = site.build(run).read_text(encoding="utf-8")
    figures = run.dir.parents[1] / "reports" / "made" / "figures"
    assert ARMS in page and "The judge against published scores" not in page
    assert sorted(path.name for path in figures.iterdir()) == ["arms.png", "arms.svg"]
    (run.dir / "stats" / "figures" / "arms.png").write_bytes(PIXEL + b"of another result")
    assert ARMS not in site.build(run).read_text(encoding="utf-8")
    write_json(run.result, RESULT)  # such as a pilot's, which draws nothing
    assert 'src="data:image' not in site.build(run).read_text(encoding="utf-8")


def test_captions_say_what_was_resampled_and_how_many(run):
    figures = run.dir / "stats" / "figures"
    (figures / "bootstrap.png").write_bytes(PIXEL)
    listed = {name: sha256(figures / name) for name in ("arms.png", "bootstrap.png")}
    given = RESULT | {
        "figures": listed,
        "delta": 1.0,
        "n_prompts": 1,
        "missing": [],
        "prompts_absent": [],
    }
    for over in ("prompts", "prompts and seeds"):
        write_json(run.result, given | {"interval_over": over})
        page = site.build(run).read_text(encoding="utf-8")
        text = re.sub("<[^>]*>", "", page)
        assert f"resampled over {over};" in text
    assert "<summary>Show 1 entry of " in page
    assert "1 difference from" in page
    assert ", 1 prompt;" in page


def test_the_notebook_page_has_every_output(pages):
    page = pages["01_build_traces.html"]
    assert "Samples" in page
    assert page.count("&lt;script&gt;") >= 4
    assert 'class="here" aria-current="page">01_build_traces' in page


def test_a_run_from_elsewhere_has_a_page_too(run):
    run.manifest.unlink()
    write_json(
        run.result,
        RESULT
        | {
            "judge": None,
            "changed_since_stamp": None,
            "recommendation": None,
            "card": None,
            "deviations": [],
        },
    )
    page = site.build(run).read_text(encoding="utf-8")
    assert "Making it again" not in page and "Second judge" not in page and "None" not in page


def test_what_is_known_of_the_judge_stands_in_its_section(pages):
    page = pages["index.html"]
    assert page.index('<h2 id="judge">') < page.index(f"judge {html.escape(EVIL)}")
    for words in (
        "Krippendorff",
        "Second judge",
        "Test–retest on",
        "Δ +1.0 points, 95 % interval –, 4 answers",
        ", again",
        "How the published rows ended",
        "was not measured",
    ):
        assert words in page, words


def test_what_is_off_is_said_to_be_off(run):
    off = RESULT["judge"] | {"second": None, "retest": PAIRED | {"judged_twice": 0}}
    write_json(run.result, RESULT | {"judge": off, "stripped": None})
    page = site.build(run).read_text(encoding="utf-8")
    for words in (
        "Second judge: none",
        "Test–retest: off",
        "Re-score with the opening stripped: none",
    ):
        assert words in page, words
