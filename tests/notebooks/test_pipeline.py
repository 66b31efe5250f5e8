"""The whole experiment on the tiny model, as a user runs it.

The DAG, its artifacts, a rerun, and the report as a browser without a network shows it.
"""

from __future__ import annotations

import json
import re
import shutil

import pandas as pd
import pytest
from browser import IN_A_BROWSER, dom
from browser_tab import tab
from killed import content, finish, kill, points
from sample_page import SamplePage, chromium
from smoke_run import FOLDER, MOVED, PROFILE, RUN, SITE, make_report, papermill, snakemake

from lib.config.params import ROOT
from lib.display.signs import typeset
from lib.run.table_schemas import JUDGMENTS, SAMPLES

ARMS = PROFILE.conditions


@pytest.fixture(scope="session")
def pipeline():
    for folder in (MOVED, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    done = make_report()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    yield done
    for folder in (MOVED, SITE):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def result(pipeline) -> dict:
    return json.loads((FOLDER / "stats" / "result.json").read_text())


def test_the_runner_says_which_of_how_many_stages_runs(pipeline):
    stages = re.findall(r"stage (\d) of (\d): (\S+)", pipeline.stdout + pipeline.stderr)
    assert [(int(n), int(total)) for n, total, _ in stages] == [(i, 7) for i in range(1, 8)]


def test_all_is_in_the_folder_that_was_named_under_the_name_that_was_typed(pipeline):
    assert (FOLDER / "stats" / "result.json").exists() and (SITE / "index.html").exists()
    assert not (ROOT / "runs" / "1.10").exists() and not (ROOT / "runs" / "1.1").exists()


def test_every_artifact_of_the_public_interface_is_there(pipeline):
    assert (FOLDER / "manifest.json").exists()
    for kind in ("selfcorrect", "random_recovery", "placebo_assistant"):
        rows = [
            json.loads(line)
            for line in (FOLDER / "traces" / f"{kind}.jsonl").read_text().splitlines()
        ]
        assert len(rows) == PROFILE.traces.count
        assert [m["role"] for m in rows[0]["messages"]] == [
            "system",
            "user",
            "assistant",
            "user",
            "assistant",
        ]
        assert (FOLDER / "adapters/seed42/phase1" / kind / "adapter_model.safetensors").exists()
    for arm in ARMS:
        served = FOLDER / "adapters/seed42" / arm / "serve/adapter_config.json"
        assert served.exists() == (arm not in ("base", "base_evil"))
        samples = pd.read_parquet(FOLDER / "samples/seed42" / f"{arm}.parquet")
        assert list(samples) == SAMPLES.names
        assert (samples["suite"] == "alignment").sum() == 48 * PROFILE.sampling.suites[
            "alignment"
        ].samples
        assert ("benign" in set(samples["suite"])) == (arm != "base_evil")
        assert (samples["system"].str.len() > 0).all()
        judged = pd.read_parquet(FOLDER / "judgments/seed42" / f"{arm}.parquet")
        assert list(judged) == JUDGMENTS.names
        capability = json.loads((FOLDER / "capability/seed42" / f"{arm}.json").read_text())
        assert {"task", "n", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr"} <= set(capability)
    assert len(list((FOLDER / "notebooks").glob("0*.ipynb"))) == 6


def test_joined_adapter_has_the_ranks_concatenated(pipeline):
    config = json.loads(
        (FOLDER / "adapters/seed42/selfcorrect_em/serve/adapter_config.json").read_text()
    )
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (12, 12, False)


def test_result_holds_verdict_gates_and_every_check_ran(result):
    assert {
        "verdict",
        "gates",
        "delta",
        "p_value",
        "ci95",
        "n_prompts",
        "per_seed",
        "mde",
        "headline",
        "drop_shares",
        "subsets",
        "arms",
    } <= set(result)
    assert [gate["number"] for gate in result["gates"]] == list(range(8))
    assert {"name", "value", "threshold", "passed"} <= set(result["gates"][0])
    assert result["n_prompts"] == 48
    by_name = {check["name"]: check["status"] for check in result["checks"]}
    # The tiny model's text is noise, so its persona cannot take; the report begins with that.
    assert by_name.pop("persona takes") == "failed" and result["verdict"] == "invalid"
    assert "stops at the check “persona takes”" in result["notes"][0]
    assert set(by_name.values()) == {"passed"}
    assert any("no conclusion about alignment" in note for note in result["notes"])


def test_report_names_the_verdict_every_prompt_and_all_notebooks(result):
    page = (SITE / "index.html").read_text()
    assert result["verdict"] in page
    for number in range(1, 7):
        (link,) = set(re.findall(rf'href="(0{number}_[a-z0-9_]+\.html)"', page))
        assert (SITE / link).exists()
    svg = (SITE / "figures/per_prompt.svg").read_text()
    assert svg.count("demo_core") >= 1
    assert len(result["per_prompt"]) == 48


def test_report_loads_nothing_from_elsewhere_and_holds_no_path_of_this_machine(pipeline):
    for page in SITE.glob("*.html"):
        text = page.read_text()
        assert not re.search(
            r"""(?:src|href)\s*=\s*["'](?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//""", text
        ), page.name
        assert str(ROOT) not in text and str(MOVED) not in text, page.name


def test_a_second_run_does_nothing(pipeline):
    before = {p: p.stat().st_mtime_ns for p in FOLDER.rglob("*") if p.is_file()}
    again = snakemake()
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
    assert before == {p: p.stat().st_mtime_ns for p in FOLDER.rglob("*") if p.is_file()}


def test_a_finished_notebook_run_again_keeps_its_artifacts(pipeline, tmp_path):
    adapter = FOLDER / "adapters/seed42/selfcorrect_em/serve/adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns
    out = tmp_path / "out.ipynb"
    done = papermill(
        "03_phase2_em.ipynb", out, profile="smoke", run=RUN, condition="selfcorrect_em"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "finished before, skipped" in out.read_text()
    assert adapter.stat().st_mtime_ns == before


@pytest.mark.long
def test_an_analysis_that_is_killed_twice_ends_as_if_it_had_not_been(pipeline, tmp_path):
    """Only the last stage, since it is short; test_killed_run.py kills a whole run."""
    run = tmp_path / "runs" / "pytest-killed"
    shutil.copytree(FOLDER, run)
    for flag in (run / ".done").glob("06*"):
        flag.unlink()
    shutil.rmtree(run / "stats")
    try:
        for victim, after in points(3, 2, 3):
            kill(run, victim, after)
        finish(run)
    finally:
        shutil.rmtree(ROOT / "reports" / run.name, ignore_errors=True)
    assert content(run) == content(FOLDER)


@IN_A_BROWSER
def test_the_headline_says_verdict_and_caveat(result, tmp_path):
    ask = "document.querySelector('header.finding').textContent"
    with tab(tmp_path / "profile") as opened:
        head = str(opened.visit(SITE / "index.html", ask=ask).value)
    assert f"Verdict {result['verdict']}" in head
    for note in result["notes"]:
        assert typeset(note) in head, "the caveats stand in the headline"


@IN_A_BROWSER
def test_every_page_is_silent_on_its_own_and_fits_a_telephone(result, tmp_path):
    with tab(tmp_path / "profile") as opened:
        for page in sorted(SITE.glob("**/*.html")):
            for width, dark in ((1440, False), (390, True)):
                found = opened.visit(page, width=width, dark=dark)
                assert (found.console, found.requests) == ([], []), page.name
                assert found.overflow == 0, f"{page.name} is too wide at {width} pixels"


@IN_A_BROWSER
def test_the_samples_can_be_filtered_by_condition_and_text(result, tmp_path):
    """A copy of the page that chooses an arm and types a word when it has loaded."""
    page = (SITE / "04_sample_and_capability.html").read_text()
    word = "THE"
    act = f"""<script>addEventListener("load", () => {{
        const text = document.querySelector("input[type=search]");
        const condition = text.parentElement.querySelector("select");
        [[condition, "selfcorrect_em"], [text, "{word}"]].forEach(([control, value]) => {{
            control.value = value; control.dispatchEvent(new Event("input")); }});
        document.title = [...text.parentElement.querySelectorAll("tbody tr")]
            .filter(row => row.style.display !== "none")
            .map(row => [row.cells[0].textContent,
                         row.cells[4].textContent.toLowerCase().includes("the")].join(":"))
            .join() }})
        </script>"""
    copy = SITE / "acting.html"
    copy.write_text(page + act)
    try:
        found = dom(SITE / "acting.html", tmp_path)
    finally:
        copy.unlink()
    title = found.split("<title>")[1].split("</title>")[0].split(",")
    assert set(title) == {"selfcorrect_em:true"}
    assert f"<output>{len(title)}</output> of 960 rows; 960 of" in found


@IN_A_BROWSER
def test_the_side_by_side_of_notebook_04_holds_every_arm(result, tmp_path):
    page = dom(SITE / "04_sample_and_capability.html", tmp_path)
    for arm in result["arms"]:
        assert f">{arm}</th>" in page


@IN_A_BROWSER
def test_the_sample_browser_holds_every_completion_of_every_arm(result):
    total = sum(len(pd.read_parquet(path)) for path in FOLDER.glob("samples/seed*/*.parquet"))
    with chromium() as opened:
        page = SamplePage(opened, SITE / "samples" / "index.html").open()
        assert page.count.startswith(f"{total:,} of {total:,} completions in ")
        assert [card["arm"] for card in page.cards()[:7]] == ARMS
        page.choose("mark", "again")
        assert all("judged again" in card["others"] for card in page.cards() if card["fits"])
        assert page.faults() == []
