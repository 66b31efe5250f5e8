"""From executed notebooks and result.json to one HTML site that opens without a network.

`python -m lib.report RUN` renders reports/RUN/index.html, a page for each executed notebook and one
for each exploratory comparison. Only what belongs to a result is shown: the figures that it lists,
notebooks of the run's present grouping.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lib.analysis import sources
from lib.config.params import ROOT
from lib.display import html
from lib.report import finding, index, page, read_result, review_section
from lib.report.extra_pages import EXTRA_PAGES
from lib.report.page import Link, Navigation
from lib.run import stages
from lib.run.files import atomic_path, sha256
from lib.run.records import read_record
from lib.run.runs import Run

GLOSSARY = Link("Glossary", "glossary.html")

if TYPE_CHECKING:  # importing it takes a second
    from nbformat import NotebookNode


def build(run: Run) -> Path:
    """Render the site of a finished run and return its first page.

    Raises FileNotFoundError that names what has to run first.
    """
    compared = sources.other_comparisons(run)
    results = [path for path in (run.result, *compared) if path.exists()]
    if not results:
        raise FileNotFoundError(
            f"run {run.name!r} has no stats/result.json; run notebook 06 first (make report)"
        )
    stopped = run.result.exists() and bool(read_result.load(run.result).get("stop"))
    notebooks, left_out = _notebooks(run, [sha256(path) for path in results], stopped)
    if not notebooks and run.manifest.exists():  # judgments from elsewhere have none of their own
        raise FileNotFoundError(
            f"run {run.name!r} has no executed notebooks; run them first (make report)"
        )
    target = ROOT / "reports" / run.name
    with atomic_path(target) as beside:
        beside.mkdir()
        _write(run, results, notebooks, left_out, beside)
    return target / "index.html"


def _write(
    run: Run,
    results: list[Path],
    notebooks: dict[str, NotebookNode],
    left_out: list[str],
    folder: Path,
) -> None:
    """Every page of the site, into an empty folder."""
    # The first result is the index: the planned comparison, or else the first exploratory one.
    others = [path.parent.name for path in results[1:]]
    # Read once, since drawing the answers that a person reads takes every answer of the run.
    contents = {added: added.read(run) for added in EXTRA_PAGES}
    extra = [added for added in EXTRA_PAGES if contents[added] is not None]
    navigation = Navigation(
        run.name,
        links=[
            Link("Report", "index.html"),
            *(Link(other.replace("_vs_", " vs "), f"{other}.html") for other in others),
            *(added.link for added in extra),
            GLOSSARY,
        ],
        folded=[Link(name, f"{name}.html") for name in notebooks],
    )
    for added in extra:
        added.write(contents[added], folder, navigation)
    page.write(folder, navigation, GLOSSARY.file, "Glossary", html.render("glossary"))
    for name, notebook in notebooks.items():
        page.write(folder, navigation, f"{name}.html", name, notebook_body(notebook))
    names = ["index.html", *(f"{other}.html" for other in others)]
    for path, name in zip(results, names, strict=True):
        result = read_result.load(path)
        figures = own_figures(result, path.parent / "figures")
        place = "figures" if name == "index.html" else f"figures/{path.parent.name}"
        for figure in figures.values():
            (folder / place).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(figure, folder / place / figure.name)
        review = contents.get(review_section.PAGE)
        body = index.index(run, result, figures, place, navigation, left_out, review)
        title = finding.finding(result).title
        page.write(folder, navigation, name, title, body)


def _notebooks(
    run: Run, digests: list[str], stopped: bool
) -> tuple[dict[str, NotebookNode], list[str]]:
    """Executed notebooks by name, and one line for each file that is left out.

    Args:
        digests: sha256 of each result.json of the run.
        stopped: whether the run ended at the pilot.
    """
    import nbformat

    manifest = read_record(run.manifest) if run.manifest.exists() else {}
    expected = stages.executed_names(manifest.get("profile") or {}, stopped)
    notebooks = {}
    left_out = []
    for path in sorted((run.dir / "notebooks").glob("0*.ipynb")):
        if expected is not None and path.stem not in expected:
            reason = "the run as it is grouped now has no such stage"
            left_out.append(f"{path.stem} is not shown: {reason}")
            continue
        notebook = nbformat.read(path, as_version=4)
        reason = stages.why_not_shown(run, path.stem, notebook, digests)
        if reason:
            left_out.append(f"{path.stem} is not shown: {reason}")
        else:
            notebooks[path.stem] = notebook
    return notebooks, left_out


def own_figures(result: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The figures that a result lists and whose content is still what it listed, by file name."""
    own = {}
    for listed, digest in (result.get("figures") or {}).items():
        path = folder / Path(listed).name
        if path.is_file() and sha256(path) == digest:
            own[path.name] = path
    return own


def notebook_body(notebook: NotebookNode) -> Markup:
    """The body of an executed notebook, by the project's own nbconvert template.

    nbconvert escapes what a cell printed; HTML that a cell displayed came from lib.display.html.
    """
    from nbconvert import HTMLExporter

    _describe_figures(notebook)
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(html.NOTEBOOK_TEMPLATE)],
        embed_images=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    return Markup(body)


def _describe_figures(notebook: NotebookNode) -> None:
    """Give each figure the text above it, which says what it shows, for who cannot see it."""
    text = ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = " ".join(cell["source"].replace("#", "").split())
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["metadata"] = {"image/png": {"alt": f"Figure. {text}"}}


def main() -> None:
    """The command line: one argument, the run."""
    if len(sys.argv) != 2:
        sys.exit(f"{len(sys.argv) - 1} arguments; name one run: python -m lib.report RUN")
    try:
        print(f"rendered {build(Run(sys.argv[1])).relative_to(ROOT)}")
    except (OSError, ValueError) as error:  # one line that says what to run first
        sys.exit(str(error))
