"""Which executed notebooks are pages of the site, and when there is no site."""

# `run` is a fixture: a test takes it by its name.
# ruff: noqa: F811

import json

import nbformat
import pytest
from golden_cases import FOLDER
from hostile_result import RESULT
from nbformat import v4
from test_report import run  # noqa: F401

from lib.report.site import build
from lib.run.files import sha256, write_json, write_text


def executed(run, name, metadata=None, printed=""):
    text = v4.new_output("stream", text=f"{name}\n{printed}\n")
    made = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[text])], metadata=metadata or {})
    write_text(run.dir / "notebooks" / f"{name}.ipynb", nbformat.writes(made))


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
    write_json(
        run.manifest,
        {"environment": {}, "overrides": {}, "preregistration": {}, "profile": profile(**changes)},
    )
    write_json(run.result, RESULT | {"stop": stop})
    for name in ALL:
        executed(run, name, papermill())
    site = build(run).parent
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
    write_json(
        run.manifest,
        {"environment": {}, "overrides": {}, "preregistration": {}, "profile": profile()},
    )
    executed(run, "01_build_traces", papermill())
    executed(run, "02_phase1_sft", metadata)
    index = build(run)
    assert {page.name for page in index.parent.glob("0*.html")} == {"01_build_traces.html"}
    assert words in index.read_text(encoding="utf-8")


def test_a_notebook_that_made_another_result_is_no_page(run):
    executed(run, "06_stats_and_gates", papermill(), f"result.json sha256 {sha256(run.result)}")
    assert build(run).with_name("06_stats_and_gates.html").exists()
    executed(run, "06_stats_and_gates", papermill(), "result.json sha256 " + "0" * 64)
    assert not build(run).with_name("06_stats_and_gates.html").exists()


def test_code_is_folded_and_a_figure_has_the_text_above_it(run):
    shown = [{"image/png": "iVBORw0KGgo="}, {"application/javascript": "alert(1)"}]
    outputs = [v4.new_output("display_data", data=data) for data in shown]
    cells = [
        v4.new_markdown_cell('## The <b>losses</b>\n\nLook for "flat" lines.'),
        v4.new_code_cell("plot(a < b)", outputs=outputs),
    ]
    text = nbformat.writes(v4.new_notebook(cells=cells))
    write_text(run.dir / "notebooks" / "02_phase1_sft.ipynb", text)
    page = build(run).with_name("02_phase1_sft.html").read_text(encoding="utf-8")
    assert "<summary>Code <code>plot(a &lt; b)</code></summary>" in page
    image = page.split("<img alt=")[1].split("src=")[0]
    assert image == """'Figure. The &lt;b&gt;losses&lt;/b&gt; Look for "flat" lines.' """
    assert "alert" not in page and '<a href="#The-' in page


def test_judgments_from_elsewhere_need_no_executed_notebook(run):
    run.manifest.unlink()
    (run.dir / "notebooks" / "01_build_traces.ipynb").unlink()
    write_json(run.result, RESULT | {"judge": None, "card": None})
    assert ">null</a>" in build(run).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("elsewhere", "not shown to be why"),
        ("pilot_stops", "No finding: there was nothing to defend against"),
    ],
)
def test_a_pilot_and_judgments_from_elsewhere_have_a_page(run, name, title):
    write_json(run.result, golden(name))
    page = build(run).read_text(encoding="utf-8")
    assert title in page.split("</h1>")[0]
    assert 'class="rung failed"' in page or name == "elsewhere"


def golden(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_judgments_without_a_verdict_say_what_is_missing(run):
    missing = {"missing_for_verdict": ["gate 4: capability files"], "verdict": "invalid"}
    write_json(run.result, golden("elsewhere") | missing)
    page = build(run).read_text(encoding="utf-8")
    head = page.split("<h2")[0]
    assert "A description, not a verdict" in head and "gate 4: capability files" in head
    assert "one-sided p" not in head, "a description is no test"


def test_an_unfinished_run_has_no_site(run, tmp_path):
    build(run)
    (run.dir / "notebooks" / "01_build_traces.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="'made' has no executed notebooks; run them first"):
        build(run)
    run.result.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"'made' has no stats/result\.json; run notebook 06 first"
    ):
        build(run)
    assert (tmp_path / "reports" / "made" / "index.html").exists()  # the older site stays


def test_a_notebook_that_cannot_be_read_leaves_the_older_site(run, tmp_path):
    before = build(run).read_text(encoding="utf-8")
    (run.dir / "notebooks" / "02_phase1_sft.ipynb").write_text("{")
    with pytest.raises(Exception, match="JSON"):
        build(run)
    site = tmp_path / "reports"
    assert [p.name for p in site.iterdir()] == ["made"]
    assert (site / "made" / "index.html").read_text() == before
