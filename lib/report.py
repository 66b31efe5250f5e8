"""From executed notebooks and result.json to one HTML site that opens without a network.

`python -m lib.report RUN` renders reports/RUN/index.html, a page for each executed notebook and one for each exploratory
comparison. Only what belongs to a result is shown: the figures that it lists, notebooks of the run's present grouping.
"""

from __future__ import annotations

import html
import shutil
import sys
from pathlib import Path

from lib import report_index, stages
from lib.params import ROOT
from lib.runs import Run, atomic_path, read_json, sha256

CSS = """
:root{color-scheme:light}
body{font:15px/1.55 system-ui,sans-serif;color:#18181b;margin:0;background:#fafafa}
main{max-width:74rem;margin:0 auto;padding:1.5rem 2rem 4rem;background:#fff}
h1{font-size:1.55rem}h2{margin-top:2.2rem;font-size:1.2rem}
nav{background:#18181b;padding:.55rem 2rem;font-size:13px}
nav a{display:inline-block;color:#e4e4e7;margin-right:1.1rem;text-decoration:none}nav a.here{color:#fff;font-weight:700}
img,table{max-width:100%}.wide{overflow-x:auto}
.verdict{border-left:.4rem solid #D55E00;background:#fff7ed;padding:.8rem 1.1rem}
.verdict.good{border-color:#0072B2;background:#eff6ff}.verdict b{font:700 1.25rem ui-monospace,monospace}
.note{background:#fef9c3;padding:.45rem .8rem;margin:.35rem 0}.small{color:#52525b;font-size:13px}
details{margin:.4rem 0}code,pre{font:12.5px/1.45 ui-monospace,monospace}
.jp-Cell,.cell{margin:.9rem 0}
.input_area,.jp-InputArea-editor{background:#f4f4f5;border:1px solid #e4e4e7;padding:.5rem .8rem;overflow-x:auto}
.highlight,.highlight pre{background:transparent;margin:0}
.prompt,.input_prompt,.jp-InputPrompt,.jp-OutputPrompt,.anchor-link{display:none}
.output pre,.output_area pre,.jp-OutputArea-output pre{margin:.3rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.output_html,.output_subarea{overflow-x:auto}
"""


def build(run: Run) -> Path:
    """Renders the site of a finished run. Raises FileNotFoundError naming what has to run first."""
    results = [path for path in (run.result, *sorted(run.result.parent.glob("*_vs_*/result.json"))) if path.exists()]
    if not results:
        raise FileNotFoundError(f"run {run.name!r} has no stats/result.json; run notebook 06 first (make report)")
    stopped = run.result.exists() and bool(read_json(run.result).get("stop"))
    notebooks, left_out = _notebooks(run, [sha256(path) for path in results], stopped)
    if not notebooks and run.manifest.exists():  # judgments from elsewhere have none of their own
        raise FileNotFoundError(f"run {run.name!r} has no executed notebooks; run them first (make report)")
    target = ROOT / "reports" / run.name
    with atomic_path(target) as beside:
        beside.mkdir()
        # The first result is the index: the planned comparison, or where there is none the first exploratory one.
        names = ["index.html", *(f"{path.parent.name}.html" for path in results[1:])]
        pages = [(path.parent.name, name) for path, name in zip(results[1:], names[1:], strict=True)]
        pages += [(name, f"{name}.html") for name in notebooks]
        for name, notebook in notebooks.items():
            (beside / f"{name}.html").write_text(_page(run, name, _body(notebook), pages, f"{name}.html"), encoding="utf-8")
        for path, name in zip(results, names, strict=True):
            result, folder = read_json(path), "figures" if name == "index.html" else f"figures/{path.parent.name}"
            figures = _own_figures(result, path.parent / "figures")
            for figure in figures.values():
                (beside / folder).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(figure, beside / folder / figure.name)
            body = report_index.index(run, result, figures, folder, pages, left_out)
            (beside / name).write_text(_page(run, "Report", body, pages, name), encoding="utf-8")
    return target / "index.html"


def _notebooks(run: Run, digests: list[str], stopped: bool) -> tuple[dict, list[str]]:
    """Executed notebooks by name, and one line for each file that does not belong to the results."""
    import nbformat

    profile = (read_json(run.manifest).get("profile") or {}) if run.manifest.exists() else {}
    expected = stages.executed_names(profile, stopped)
    notebooks, left_out = {}, []
    for path in sorted((run.dir / "notebooks").glob("0*.ipynb")):
        if expected is not None and path.stem not in expected:
            left_out.append(f"{path.stem} is not shown: the run as it is grouped now has no such stage")
            continue
        notebook = nbformat.read(path, as_version=4)
        reason = stages.why_not_shown(run, path.stem, notebook, digests)
        if reason:
            left_out.append(f"{path.stem} is not shown: {reason}")
        else:
            notebooks[path.stem] = notebook
    return notebooks, left_out


def _own_figures(result: dict, folder: Path) -> dict[str, Path]:
    """The figures that a result lists and whose content is still what it listed, by file name."""
    listed = {Path(name).name: digest for name, digest in (result.get("figures") or {}).items()}
    paths = {name: folder / name for name in listed}
    return {name: path for name, path in paths.items() if path.is_file() and sha256(path) == listed[name]}


def _page(run: Run, title: str, body: str, pages: list[tuple[str, str]], here: str) -> str:
    links = "".join(
        f'<a href="{html.escape(file)}"{" class=here" if file == here else ""}>{html.escape(name)}</a>'
        for name, file in [("Report", "index.html"), *pages]
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} · {html.escape(run.name)}</title><style>{CSS}{_code_css()}</style></head>"
        f"<body><nav>{links}</nav><main>{body}</main></body></html>"
    )


def _code_css() -> str:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="default").get_style_defs(".highlight")


def _body(notebook) -> str:
    """The body of an executed notebook; the `basic` template loads nothing from anywhere."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(template_name="basic", embed_images=True).from_notebook_node(notebook)
    return body


if __name__ == "__main__":
    try:
        print(f"rendered {build(Run(sys.argv[1])).relative_to(ROOT)}")
    except (FileNotFoundError, ValueError) as error:  # one line that says what to run first
        sys.exit(str(error))
