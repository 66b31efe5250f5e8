"""The site: complete, readable without a network, harmless whatever a model or a result said."""

import html
import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from nbformat import v4

from lib.display import show
from lib.report import site as report
from lib.run import runs

EVIL = """<script>fetch("https://example.org/x")</script><img src="https://example.org/x.png">"""
# As an attribute's value.
OUTSIDE = re.compile(r"^\s*(?:[a-z]+:)?//|^\s*(?:javascript|file|https?):", re.IGNORECASE)
IN_STYLE = re.compile(r"""@import|url\(\s*["']?(?!data:)""", re.IGNORECASE)
ACTIVE = {"script", "link", "iframe", "object", "embed", "base", "form", "frame"}
PIXEL = bytes.fromhex("89504e470d0a1a0a")
ESTIMATE = {"value": None, "ci95": None, "n": 9, "n_clusters": 3, "held_out": [EVIL]}
PAIRED = {
    "judged_twice": 3,
    "outcome_changed": 0,
    "pairs": 3,
    "mean_difference": None,
    "mean_absolute_difference": None,
    "sd_difference": None,
    "refusal_agreement": None,
    "spearman": ESTIMATE,
    "alpha": ESTIMATE,
}
RESULT = {
    "roles": {"treatment": EVIL, "baseline": "c6_vanilla_em"},
    "verdict": "null",
    "verdict_reason": f"gate 3: {EVIL}",
    "recommendation": EVIL,
    "delta": None,
    "p_value": None,
    "ci95": None,
    "n_prompts": None,
    "mde": None,
    "headline": None,
    "headline_reason": EVIL,
    "interval_note": EVIL,
    "filtered": None,
    "unfiltered": {"delta": 1.0, "ci95": [-1.0, None]},
    "notes": [f"note {EVIL}"],
    "gates": [
        dict.fromkeys(("value", "margin", "passed"))
        | {"number": 3, "name": "null", "measure": EVIL, "needed": ">= 5"}
    ],
    "beside": {
        "reasons": [f"reason {EVIL}"],
        "confidence": EVIL,
        "control_does_as_well": None,
        "title": EVIL,
        "few_seeds": EVIL,
    },
    "predictions": [{"prediction": EVIL, "value": None, "needed": EVIL, "held": None}],
    "checks": [{"name": "loss mask", "status": "not run", "detail": EVIL}],
    "order": [],
    "reflex_subset": EVIL,
    "judge": {
        "judge": EVIL,
        "rubric": EVIL,
        "retest": PAIRED,
        "second": PAIRED | {"judge": EVIL, "arms": [{"condition": EVIL}]},
        "validity": {
            "statement": EVIL,
            "measures": {EVIL: ESTIMATE},
            "again": {EVIL: ESTIMATE},
            "outcomes": {EVIL: {EVIL: 3}},
        },
    },
    "judge_line": f"judge {EVIL}",
    "stripped": {"delta": 1.0, "ci95": None, "n_replaced": 4},
    "changed_since_stamp": {EVIL: f"-{EVIL}"},
    "deviations": [f"deviation {EVIL}"],
    "missing": [f"missing {EVIL}"],
    "prompts_absent": [{"condition": EVIL, "seed": 1, "prompt_id": EVIL}],
    "prompts_left_out": [
        {
            "prompt_id": EVIL,
            "scores": "filtered",
            "emptied": [EVIL],
            "comparison": EVIL,
            "reasons": [EVIL],
        }
    ],
    "data": None,
    "card": {"complete": False, "unknown": [EVIL], "fields": {EVIL: None, "commit": EVIL}},
    "arms": {
        EVIL: {"followup": {}}
        | dict.fromkeys(
            (
                "aligned",
                "aligned_filtered",
                "coherent",
                "dropped",
                "refusal",
                "harmful",
                "acc",
                "literal",
                "semantic",
                "parrot",
                "n_completions",
            )
        )
    },
}


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
    monkeypatch.setattr(report, "ROOT", tmp_path)
    made = runs.Run("made")
    runs.write_json(made.result, RESULT)
    runs.write_text(made.dir / "notebooks" / "01_build_traces.ipynb", nbformat.writes(notebook()))
    runs.write_json(
        made.manifest,
        {"environment": {"python": EVIL}, "overrides": EVIL, "preregistration": {}, "profile": {}},
    )
    runs.write_json(
        made.dir / "manifests" / "s.json", {"seconds": 1.5, "finished": EVIL, "fingerprint": EVIL}
    )
    figures = made.dir / "stats" / "figures"
    figures.mkdir()
    for name in ("arms.png", "arms.svg", "judge.png"):
        (figures / name).write_bytes(PIXEL)
    listed = {name: runs.sha256(figures / name) for name in ("arms.png", "arms.svg")}
    runs.write_json(made.result, RESULT | {"figures": listed})
    return made


@pytest.fixture
def pages(run):
    index = report.build(run)
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
    assert set(pages) == {"index.html", "01_build_traces.html"}
    for name, page in pages.items():
        assert Harm(page).found == [], name
        assert "&lt;script&gt;" in page
        assert page.startswith("<!doctype html>")
        assert '<meta charset="utf-8">' in page


def test_the_index_shows_verdict_notes_figures_and_dashes(pages):
    page = pages["index.html"]
    assert "<b>null</b>" in page and f'<div class="note">note {html.escape(EVIL)}</div>' in page
    assert "one-sided p" not in page and "interval –" in page, (
        "a test that was not made is not spoken of"
    )
    image = '<img alt="All arms" src="data:image/png;base64,iVBORw0KGgo=">'
    assert f'<a href="figures/arms.svg">{image}</a>' in page
    assert '<a href="01_build_traces.html">' in page
    assert "Every eval prompt" not in page, "a figure that does not exist"
    # What a run cannot show stands above its verdict.
    assert page.index("note ") < page.index("<b>null</b>")


def test_a_report_shows_only_the_figures_of_its_result(run):
    page = report.build(run).read_text(encoding="utf-8")
    site = run.dir.parents[1] / "reports" / "made" / "figures"
    assert "All arms" in page and "The judge against published scores" not in page
    assert sorted(path.name for path in site.iterdir()) == ["arms.png", "arms.svg"]
    (run.dir / "stats" / "figures" / "arms.png").write_bytes(PIXEL + b"of another result")
    assert "All arms" not in report.build(run).read_text(encoding="utf-8")
    runs.write_json(run.result, RESULT)  # such as a pilot's, which draws nothing
    assert "data:image" not in report.build(run).read_text(encoding="utf-8")


def executed(run, name, metadata=None, printed=""):
    text = v4.new_output("stream", text=f"{name}\n{printed}\n")
    made = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[text])], metadata=metadata or {})
    runs.write_text(run.dir / "notebooks" / f"{name}.ipynb", nbformat.writes(made))


def papermill(**changes):
    return {
        "papermill": {
            "exception": None,
            "end_time": "2026-01-01",
            "parameters": {"run": "made", "seed": 42},
        }
        | changes
    }


def profile(**changes):
    return {
        "profile": "demo",
        "together": True,
        "seeds": [42],
        "conditions": ["base", "selfcorrect_em"],
        "stop_at_gate1": False,
    } | changes


ALL = [
    "01_build_traces",
    "02_phase1_sft",
    "02_phase1_sft.all.seed42",
    "02_phase1_sft.selfcorrect_em.seed42",
    "04_sample_and_capability",
    "04_sample_and_capability.all.seed42",
    "04_sample_and_capability.first.seed42",
    "05_judge",
]


@pytest.mark.parametrize(
    ("changes", "stop", "shown"),
    [
        ({}, False, {0, 1, 4, 7}),
        ({"seeds": [42, 43]}, False, {0, 2, 5, 7}),
        ({"together": False}, False, {0, 3, 5, 7}),
        ({"together": False, "stop_at_gate1": True}, False, {0, 3, 6, 7}),
        ({"together": False, "stop_at_gate1": True}, True, {0, 6}),
    ],
)
def test_notebooks_of_another_grouping_are_no_pages(run, changes, stop, shown):
    runs.write_json(
        run.manifest,
        {"environment": {}, "overrides": {}, "preregistration": {}, "profile": profile(**changes)},
    )
    runs.write_json(run.result, RESULT | {"stop": stop})
    for name in ALL:
        executed(run, name, papermill())
    site = report.build(run).parent
    assert {page.stem for page in site.glob("0*.html")} == {ALL[i] for i in shown}
    assert (
        "05_judge is not shown" in (site / "index.html").read_text(encoding="utf-8") or 7 in shown
    )


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (papermill(exception=True), "did not finish"),
        (papermill(end_time=None), "did not finish"),
        (papermill(parameters={"run": "other"}), "another run"),
        (papermill(parameters={"seed": 7}), "another seed"),
        (papermill(parameters={"profile": "smoke"}), "another profile"),
    ],
)
def test_a_notebook_that_is_not_of_this_run_or_did_not_finish_is_no_page(run, metadata, words):
    runs.write_json(
        run.manifest,
        {"environment": {}, "overrides": {}, "preregistration": {}, "profile": profile()},
    )
    executed(run, "01_build_traces", papermill())
    executed(run, "02_phase1_sft", metadata)
    index = report.build(run)
    assert {page.name for page in index.parent.glob("0*.html")} == {"01_build_traces.html"}
    assert words in index.read_text(encoding="utf-8")


def test_a_notebook_that_made_another_result_is_no_page(run):
    executed(
        run, "06_stats_and_gates", papermill(), f"result.json sha256 {runs.sha256(run.result)}"
    )
    assert report.build(run).with_name("06_stats_and_gates.html").exists()
    executed(run, "06_stats_and_gates", papermill(), "result.json sha256 " + "0" * 64)
    assert not report.build(run).with_name("06_stats_and_gates.html").exists()


def test_captions_say_what_was_resampled_and_how_many(run):
    figures = run.dir / "stats" / "figures"
    (figures / "bootstrap.png").write_bytes(PIXEL)
    listed = {name: runs.sha256(figures / name) for name in ("arms.png", "bootstrap.png")}
    given = RESULT | {
        "figures": listed,
        "delta": 1.0,
        "n_prompts": 1,
        "missing": [],
        "prompts_absent": [],
    }
    for over in ("prompts", "prompts and seeds"):
        runs.write_json(run.result, given | {"interval_over": over})
        page = report.build(run).read_text(encoding="utf-8")
        assert f"Resampled Δ over {over}, with" in page and "intervals over prompts" not in page
    assert "<summary>1 line</summary>" in page
    assert "1 difference from" in page
    assert ", 1 prompt;" in page


def test_the_notebook_page_has_every_output(pages):
    page = pages["01_build_traces.html"]
    assert "Samples" in page
    assert page.count("&lt;script&gt;") >= 4
    assert "class=here>01_build_traces" in page


def test_a_run_from_elsewhere_has_a_page_too(run):
    run.manifest.unlink()
    runs.write_json(
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
    page = report.build(run).read_text(encoding="utf-8")
    assert "Reproducibility" not in page and "The judge" not in page and "None" not in page


def test_what_is_known_of_the_judge_stands_beside_the_verdict_and_below(pages):
    page = pages["index.html"]
    assert (
        page.index("<b>null</b>")
        < page.index(f"judge {html.escape(EVIL)}")
        < page.index("<h2>Gates")
    )
    for words in (
        "Krippendorff",
        "Second judge",
        "Test–retest on",
        "Δ +1.00 points, interval –, 4 answers",
        ", again",
        "How the published rows ended",
        "was not measured",
    ):
        assert words in page, words


def test_what_is_off_is_said_to_be_off(run):
    off = RESULT["judge"] | {"second": None, "retest": PAIRED | {"judged_twice": 0}}
    runs.write_json(run.result, RESULT | {"judge": off, "stripped": None})
    page = report.build(run).read_text(encoding="utf-8")
    for words in (
        "Second judge: none",
        "Test–retest: off",
        "Re-score with the opening stripped: none",
    ):
        assert words in page, words


def test_judgments_from_elsewhere_need_no_executed_notebook(run):
    run.manifest.unlink()
    (run.dir / "notebooks" / "01_build_traces.ipynb").unlink()
    runs.write_json(run.result, RESULT | {"judge": None, "card": None})
    assert "<b>null</b>" in report.build(run).read_text(encoding="utf-8")


def test_an_unfinished_run_has_no_site(run, tmp_path):
    report.build(run)
    (run.dir / "notebooks" / "01_build_traces.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="'made' has no executed notebooks; run them first"):
        report.build(run)
    run.result.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"'made' has no stats/result\.json; run notebook 06 first"
    ):
        report.build(run)
    assert (tmp_path / "reports" / "made" / "index.html").exists()  # the older site stays


def test_a_notebook_that_cannot_be_read_leaves_the_older_site(run, tmp_path):
    before = report.build(run).read_text(encoding="utf-8")
    (run.dir / "notebooks" / "02_phase1_sft.ipynb").write_text("{")
    with pytest.raises(Exception, match="JSON"):
        report.build(run)
    site = tmp_path / "reports"
    assert [p.name for p in site.iterdir()] == ["made"]
    assert (site / "made" / "index.html").read_text() == before
