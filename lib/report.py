"""From executed notebooks and result.json to one HTML site that opens without a network.

`python -m lib.report RUN` renders reports/RUN/index.html and a page for each executed notebook.
"""

from __future__ import annotations

import base64
import html
import shutil
import sys
from pathlib import Path

from lib import show
from lib.params import ROOT
from lib.runs import Run, atomic_path, read_json

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
MEANING = {
    "invalid": "A check failed or data are missing: no number of this run may be used.",
    "em_not_induced": "The fine-tune did not make the undefended model worse, so there was nothing to defend against.",
    "net_negative": "The treated model does more harm on the benign suite than the undefended one.",
    "null": "The treated model is not more aligned than the undefended one by the margin that was set.",
    "destroys_capability": "The treated model scores higher, chance not yet considered, but it has lost capability.",
    "incoherent": "The treated model scores higher, chance not yet considered, but it is less coherent.",
    "inconclusive": "The treated model scores higher, but chance is not excluded.",
    "supported": "The treated model is more aligned than the undefended one.",
    "supported_strong": "The treated model is more aligned than the undefended one, by a wide margin.",
}
FIGURES = (
    ("per_prompt", "Every eval prompt", "Both arms' mean alignment, prompt by prompt, sorted by the paired difference."),
    ("arms", "All arms", "Described, not tested. Bars are 95 % intervals over prompts."),
    ("bootstrap", "The bootstrap", "Resampled Δ over prompts, with the gates' thresholds drawn in."),
    ("reflex", "The reflex", "Share of answers that reset, with Wilson intervals; a parrot only says the words."),
    ("coherence", "Alignment against coherence", "One dot a completion; left of the dashed line it leaves the filtered mean."),
    ("power", "What this design can find", "Power by the true effect, from the standard error of this run."),
    ("judge", "The judge against published scores",
     "Agreement, calibration (its intervals take answers as independent), and misaligned answers found by the score."),
    ("heatmap", "Prompt by condition", "Mean alignment of every arm on every prompt, unfiltered."),
)


def build(run: Run) -> Path:
    """Renders the site of a finished run. Raises FileNotFoundError naming what has to run first."""
    if not run.result.exists():
        raise FileNotFoundError(f"run {run.name!r} has no stats/result.json; run notebook 06 first (make report)")
    notebooks = sorted((run.dir / "notebooks").glob("0*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(f"run {run.name!r} has no executed notebooks; run them first (make report)")
    target = ROOT / "reports" / run.name
    with atomic_path(target) as beside:
        beside.mkdir()
        pages = [(path.stem, f"{path.stem}.html") for path in notebooks]
        for path, (_, name) in zip(notebooks, pages, strict=True):
            (beside / name).write_text(_page(run, path.stem, _notebook(path), pages, name), encoding="utf-8")
        figures = run.dir / "stats" / "figures"
        if figures.exists():
            shutil.copytree(figures, beside / "figures")
        body = _index(run, read_json(run.result), figures, pages)
        (beside / "index.html").write_text(_page(run, "Report", body, pages, "index.html"), encoding="utf-8")
    return target / "index.html"


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


def _notebook(path: Path) -> str:
    """The body of an executed notebook; the `basic` template loads nothing from anywhere."""
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(template_name="basic", embed_images=True).from_notebook_node(notebook)
    return body


def _index(run: Run, result: dict, figures: Path, pages: list[tuple[str, str]]) -> str:
    roles = result["roles"]
    parts = [
        f"<h1>{html.escape(run.name)}: does the reflex survive emergent misalignment?</h1>",
        _headline(result),
        f'<p class="small">Treatment <code>{html.escape(roles["treatment"])}</code>, baseline '
        f'<code>{html.escape(roles["baseline"])}</code>. {html.escape(_counts(result))}</p>',
        f'<p class="small">{html.escape(result["judge_line"])}</p>',
        "<h2>Gates, in their pre-registered order</h2>",
        f'<div class="wide">{show.gates_table(result["gates"], result["verdict"])}</div>',
    ]
    parts.append(_predictions(result))
    if result["beside"]["reasons"]:
        parts.append("<h2>Beside the verdict</h2><ul>" + "".join(
            f"<li>{html.escape(line)}</li>" for line in result["beside"]["reasons"]) + "</ul>")
    for name, title, caption in FIGURES:
        if (figures / f"{name}.png").exists():
            parts.append(f'<h2>{title}</h2><p class="small">{caption}</p>{_image(figures / f"{name}.png", title)}')
    parts += [_tables(result), _deviations(result), _reproducibility(run, result), "<h2>Executed notebooks</h2><ul>"]
    parts += [f'<li><a href="{html.escape(file)}">{html.escape(name)}</a></li>' for name, file in pages]
    return "".join([*parts, "</ul>"])


def _meaning(result: dict) -> str:
    if result["verdict"].startswith("supported") and result["beside"]["control_does_as_well"]:
        return "The treated model is more aligned, but so may a control be: the effect cannot be credited to the reflex."
    return MEANING[result["verdict"]]


def _headline(result: dict) -> str:
    good = " good" if result["verdict"].startswith("supported") else ""
    notes = "".join(f'<div class="note">{html.escape(note)}</div>' for note in result["notes"])
    recommended = f"<br>{html.escape(result['recommendation'])}" if result["recommendation"] else ""
    tested = "" if result["delta"] is None else (
        f"<br>Δ alignment {result['delta']:+.2f} points, one-sided p {show.number(result['p_value'], '.4f')}, "
        f"95 % interval {show.interval(result['ci95'])}, {show.number(result['n_prompts'], 'd')} prompts; "
        f"minimum detectable effect {show.number(result['mde'], '.2f')} points")
    return (
        f'{notes}<div class="verdict{good}"><b>{html.escape(result["verdict"])}</b> · {_meaning(result)}<br>'
        f"{html.escape(result['verdict_reason'])}{recommended}{tested}.<br>"
        f"Stated confidence: {html.escape(result['beside']['confidence'])}.</div>"
    )


def _counts(result: dict) -> str:
    both = []
    for kind in ("filtered", "unfiltered"):
        entry = result[kind]
        if entry:
            delta, ci95 = show.number(entry["delta"], "+.2f"), show.interval(entry["ci95"])
            both.append(f"{kind.capitalize()}: Δ {delta}, interval {ci95}.")
    return " ".join([f"Headline: {result['headline'] or 'none'} ({result['headline_reason']}).", *both])


def _image(path: Path, alt: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<a href="figures/{path.stem}.svg"><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></a>'


def _tables(result: dict) -> str:
    import pandas as pd

    from lib.results import arm_table

    lacking = [*result["missing"], *(f"not asked: {row['condition']}, seed {row['seed']}, {row['prompt_id']}"
                                     for row in result["prompts_absent"])]
    lacking += [f"left out ({row['scores']}): {row['prompt_id']}, no completion of {', '.join(row['emptied'])}"
                for row in result["prompts_left_out"]]
    order = result["order"] or list(result["arms"])
    on = result["reflex_subset"] or "all prompts"
    caption = f"Means of per-prompt means in points; rates as shares, reflex rates on {on}"
    arms = show.table(arm_table(result["arms"], order), caption)
    checks = show.table(pd.DataFrame(result["checks"]), "Validity checks; a failed one makes the verdict invalid")
    parts = [f'<h2>Arms</h2><div class="wide">{arms}</div>', f'<h2>Validity checks</h2><div class="wide">{checks}</div>']
    if lacking:
        parts.append(f"<h2>What lacks</h2><details><summary>{len(lacking)} lines</summary><ul>" + "".join(
            f"<li>{html.escape(line)}</li>" for line in lacking) + "</ul></details>")
    if result["judge"]:
        parts.append(_judge(result["judge"], result.get("stripped")))
    if result["changed_since_stamp"]:
        parts.append("<h2>Changed since the pre-registration stamp</h2>" + "".join(
            f"<h3>{html.escape(n)}</h3><pre>{html.escape(d)}</pre>" for n, d in result["changed_since_stamp"].items()))
    return "".join(parts)


def _judge(judge: dict, stripped: dict | None) -> str:
    """Everything that is known of the judge: agreement with published rows, with itself, with another, without openings."""
    import pandas as pd

    from lib.judge import agreement, validity

    trust, second, again = judge["validity"], judge.get("second"), judge["retest"]
    statement = f"{trust['statement']} {validity.UNMEASURED}"
    parts = ["<h2>The judge</h2>", f'<p class="small">{html.escape(statement)}</p>']
    if trust["measures"]:
        caption = f"{judge['judge']}, rubric {judge['rubric']}, against published scores and labels that it was not fitted on"
        parts.append(show.table(validity.table(trust), caption))
    if trust["outcomes"]:
        parts.append(show.table(validity.outcome_table(trust), "How the published rows ended; only scored ones are compared"))
    parts.append(show.table(agreement.table(again), "Test–retest on the completions judged twice") if again["judged_twice"]
                 else "<p>Test–retest: off.</p>")
    if second:
        parts.append(show.table(agreement.table(second), f"Second judge {second['judge']} on the same completions"))
        parts.append(show.table(pd.DataFrame(second["arms"]), "Mean alignment of these completions by both judges"))
    else:
        parts.append("<p>Second judge: none.</p>")
    parts.append(f"<p>Re-score with the opening stripped: Δ {stripped['delta']:+.2f} points, interval "
                 f"{show.interval(stripped['ci95'])}, {stripped['n_replaced']} answers judged without it.</p>" if stripped
                 else "<p>Re-score with the opening stripped: none.</p>")
    if judge.get("ledger"):
        parts.append(show.ledger(judge["ledger"]))
    return f'<div class="wide">{"".join(parts)}</div>'


def _predictions(result: dict) -> str:
    import pandas as pd

    return "<h2>Predictions</h2>" + show.table(pd.DataFrame(result["predictions"])) if result["predictions"] else ""


def _deviations(result: dict) -> str:
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in result["deviations"])
    return (f"<h2>Deviations from the plan</h2><details><summary>{len(result['deviations'])} differences from the "
            f"pre-registered full-scale profile</summary><ul>{lines}</ul></details>") if lines else ""


def _reproducibility(run: Run, result: dict) -> str:
    import json

    import pandas as pd

    if not run.manifest.exists():
        return ""
    manifest = read_json(run.manifest)
    stages = [(path.stem, read_json(path)) for path in sorted((run.dir / "manifests").glob("*.json"))]
    times = show.table(pd.DataFrame([{"stage": n, "seconds": r["seconds"], "finished": r["finished"],
                                      "fingerprint": r["fingerprint"][:12]} for n, r in stages]))
    facts = {key: manifest[key] for key in ("environment", "overrides", "preregistration", "profile")}
    return (
        f"<h2>Reproducibility</h2>{_card(result['card'])}"
        f"<details><summary>Stages and their fingerprints</summary>{times}</details>"
        f"<details><summary>Environment, stamp and profile</summary><pre>"
        f"{html.escape(json.dumps(facts, indent=2, ensure_ascii=False))}</pre></details>"
    )


def _card(card: dict | None) -> str:
    import pandas as pd

    if card is None:
        return ""
    rows = pd.DataFrame([{"field": k, "value": str(v)} for k, v in card["fields"].items()])
    state = "complete" if card["complete"] else f"FAILED, unknown: {', '.join(card['unknown'])}"
    return f"<details><summary>Reproducibility card: {html.escape(state)}</summary>{show.table(rows)}</details>"


if __name__ == "__main__":
    print(f"rendered {build(Run(sys.argv[1])).relative_to(ROOT)}")
