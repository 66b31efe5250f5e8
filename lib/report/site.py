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

from lib.config.params import ROOT
from lib.display import html
from lib.manual_review import agreement, page
from lib.report import index
from lib.run import stages
from lib.run.files import atomic_path, read_json, sha256
from lib.run.runs import Run

if TYPE_CHECKING:  # importing it takes a second
    from nbformat import NotebookNode


def build(run: Run) -> Path:
    """Render the site of a finished run and return its first page.

    Raises FileNotFoundError that names what has to run first.
    """
    compared = sorted(run.result.parent.glob("*_vs_*/result.json"))
    results = [path for path in (run.result, *compared) if path.exists()]
    if not results:
        raise FileNotFoundError(
            f"run {run.name!r} has no stats/result.json; run notebook 06 first (make report)"
        )
    stopped = run.result.exists() and bool(read_json(run.result).get("stop"))
    notebooks, left_out = _notebooks(run, [sha256(path) for path in results], stopped)
    if not notebooks and run.manifest.exists():  # judgments from elsewhere have none of their own
        raise FileNotFoundError(
            f"run {run.name!r} has no executed notebooks; run them first (make report)"
        )
    target = ROOT / "reports" / run.name
    with atomic_path(target) as beside:
        beside.mkdir()
        # The first result is the index: the planned comparison, or else the first exploratory one.
        others = [path.parent.name for path in results[1:]]
        names = ["index.html", *(f"{other}.html" for other in others)]
        pages = [(name, f"{name}.html") for name in [*others, *notebooks]]
        review = _review(run)
        if review:
            # Its navigation leads to no page whose name tells of an arm.
            own = [(page.TITLE, page.NAME)]
            text = _page(run, page.TITLE, page.body(run.name, review.sample), own, page.NAME)
            (beside / page.NAME).write_text(text, encoding="utf-8")
            pages += own
        for name, notebook in notebooks.items():
            text = _page(run, name, _body(notebook), pages, f"{name}.html")
            (beside / f"{name}.html").write_text(text, encoding="utf-8")
        for path, name in zip(results, names, strict=True):
            result = read_json(path)
            folder = "figures" if name == "index.html" else f"figures/{path.parent.name}"
            figures = _own_figures(result, path.parent / "figures")
            for figure in figures.values():
                (beside / folder).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(figure, beside / folder / figure.name)
            body = index.index(run, result, figures, folder, pages, left_out, review)
            (beside / name).write_text(_page(run, "Report", body, pages, name), encoding="utf-8")
    return target / "index.html"


def _review(run: Run) -> agreement.State | None:
    """The review of the run's answers. None if they are not all here, or not judged."""
    try:
        return agreement.state(run)
    except FileNotFoundError:
        return None


def _notebooks(
    run: Run, digests: list[str], stopped: bool
) -> tuple[dict[str, NotebookNode], list[str]]:
    """Executed notebooks by name, and one line for each file that is left out.

    Args:
        digests: sha256 of each result.json of the run.
        stopped: whether the run ended at the pilot.
    """
    import nbformat

    manifest = read_json(run.manifest) if run.manifest.exists() else {}
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


def _own_figures(result: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The figures that a result lists and whose content is still what it listed, by file name."""
    own = {}
    for listed, digest in (result.get("figures") or {}).items():
        path = folder / Path(listed).name
        if path.is_file() and sha256(path) == digest:
            own[path.name] = path
    return own


def _page(run: Run, title: str, body: Markup, pages: list[tuple[str, str]], here: str) -> str:
    """A whole page; pages: links (title, file), of which `here` is its own file."""
    return html.render(
        "page",
        title=title,
        run_name=run.name,
        code_css=_code_css(),
        pages=[("Report", "index.html"), *pages],
        here=here,
        body=body,
    )


def _code_css() -> Markup:
    """The colours of code, as pygments names its classes."""
    from pygments.formatters import HtmlFormatter

    return Markup(HtmlFormatter(style="default").get_style_defs(".highlight"))


def _body(notebook: NotebookNode) -> Markup:
    """The body of an executed notebook; the `basic` template loads nothing from anywhere.

    nbconvert escapes what a cell printed; HTML that a cell displayed came from lib.display.html.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", embed_images=True)
    body, _ = exporter.from_notebook_node(notebook)
    return Markup(body)


def main() -> None:
    """The command line: one argument, the run."""
    try:
        print(f"rendered {build(Run(sys.argv[1])).relative_to(ROOT)}")
    except (FileNotFoundError, ValueError) as error:  # one line that says what to run first
        sys.exit(str(error))
