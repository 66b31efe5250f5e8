"""The rendered report in headless Chromium, as a reader without a network sees it."""

from __future__ import annotations

import html
import shutil
import subprocess

import pytest
from test_pipeline import SITE, pipeline, result  # noqa: F401 (fixtures)

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def dom(page: str, folder) -> str:
    """The page's DOM after loading, from a file, in a browser that resolves no host."""
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder}",
        "--dump-dom",
        (SITE / page).as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return html.unescape(done.stdout)


def test_the_headline_says_verdict_and_caveat(result, tmp_path):  # noqa: F811
    page = dom("index.html", tmp_path)
    assert f"<b>{result['verdict']}</b>" in page
    for note in result["notes"]:
        assert note in page
    assert page.index(result["notes"][0]) < page.index("<h2>"), "the caveats stand in the headline"


def test_the_samples_can_be_filtered_by_condition_and_text(result, tmp_path):  # noqa: F811
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
        found = dom("acting.html", tmp_path)
    finally:
        copy.unlink()
    title = found.split("<title>")[1].split("</title>")[0].split(",")
    assert set(title) == {"selfcorrect_em:true"}
    assert f"<output>{len(title)}</output> of 960 rows; 960 of" in found


def test_the_side_by_side_of_notebook_04_holds_every_arm(result, tmp_path):  # noqa: F811
    page = dom("04_sample_and_capability.html", tmp_path)
    for arm in result["arms"]:
        assert f">{arm}</th>" in page
