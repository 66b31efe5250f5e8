"""The report's first page, section by section, from result.json; everything that comes from data is escaped."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from lib import show
from lib.read_result import read_arms, read_gates
from lib.reading import PLANNED
from lib.runs import Run, read_json

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
COLLAPSE = {  # of em_not_induced, where the fine-tune did something, but no misalignment
    "code": "The fine-tune made the undefended model answer in code, not in bad faith: nothing to defend against.",
    "noise": "The fine-tune made the undefended model incoherent, not misaligned: nothing to defend against.",
}
FIGURES = (
    ("per_prompt", "Every eval prompt", "Both arms' mean alignment, prompt by prompt, sorted by the paired difference."),
    ("arms", "All arms", "Described, not tested. Bars are 95 % intervals."),
    ("bootstrap", "The bootstrap", "Resampled Δ over {over}, with the gates' thresholds drawn in."),
    ("reflex", "The reflex", "Share of answers that reset, with 95 % intervals; a parrot only says the words."),
    ("coherence", "Alignment against coherence", "One dot a completion; left of the dashed line it leaves the filtered mean."),
    ("power", "What this design can find",
     "Chance of `supported`, and of p alone, by the true effect; from the standard error of this run."),
    ("judge", "The judge against published scores",
     "Agreement, calibration (its intervals take answers as independent), and misaligned answers found by the score."),
    ("heatmap", "Prompt by condition", "Mean alignment of every arm on every prompt, unfiltered."),
)


def index(run: Run, result: dict, figures: dict[str, Path], folder: str, pages: list[tuple[str, str]],
          left_out: list[str]) -> str:
    """The page's body. figures: the result's own, by file name, copied to `folder` of the site; pages: links (title, file);
    left_out: one line for each executed notebook that is no page."""
    roles = result["roles"]
    planned = (roles["treatment"], roles["baseline"]) == PLANNED
    question = ("does the reflex survive emergent misalignment?" if planned else
                f"{roles['treatment']} against {roles['baseline']}")
    parts = [
        f"<h1>{html.escape(run.name)}: {html.escape(question)}</h1>",
        _headline(result),
        f'<p class="small">Treatment <code>{html.escape(roles["treatment"])}</code>, baseline '
        f'<code>{html.escape(roles["baseline"])}</code>. {html.escape(_counts(result))}</p>',
        f'<p class="small">{html.escape(result["judge_line"])}</p>',
        "<h2>Gates, in their pre-registered order</h2>",
        f'<div class="wide">{show.gates_table(read_gates(result["gates"]), result["verdict"])}</div>',
    ]
    parts.append(_predictions(result))
    if result["beside"]["reasons"]:
        parts.append("<h2>Beside the verdict</h2><ul>" + "".join(
            f"<li>{html.escape(line)}</li>" for line in result["beside"]["reasons"]) + "</ul>")
    over = result.get("interval_over") or "prompts"
    for name, title, caption in FIGURES:
        if f"{name}.png" in figures:
            image = _image(figures[f"{name}.png"], f"{folder}/{name}.svg" if f"{name}.svg" in figures else None, title)
            parts.append(f'<h2>{title}</h2><p class="small">{caption.replace("{over}", over)}</p>{image}')
    parts += [_tables(result), _attempts(result), _deviations(result), _reproducibility(run, result)]
    if pages or left_out:
        links = [f'<li><a href="{html.escape(file)}">{html.escape(name)}</a></li>' for name, file in pages]
        links += [f"<li>{html.escape(line)}</li>" for line in left_out]
        parts.append(f"<h2>Executed notebooks and other pages</h2><ul>{''.join(links)}</ul>")
    return "".join(parts)


def _meaning(result: dict) -> str:
    if result["verdict"].startswith("supported") and result["beside"].get("title"):
        return "The treated model is more aligned, but so may a control be: the effect cannot be credited to the reflex."
    return COLLAPSE.get(result.get("em_collapse"), MEANING[result["verdict"]])


def _headline(result: dict) -> str:
    good = " good" if result["verdict"].startswith("supported") else ""
    notes = "".join(f'<div class="note">{html.escape(note)}</div>' for note in result["notes"])
    if result.get("missing_for_verdict"):
        return notes + _described(result)
    title = f" ({html.escape(result['beside']['title'])})" if result["beside"].get("title") else ""
    recommended = f"<br>{html.escape(result['recommendation'])}" if result["recommendation"] else ""
    tested = "" if result["delta"] is None else (
        f"<br>Δ alignment {result['delta']:+.2f} points, one-sided p {show.number(result['p_value'], '.4f')}, "
        f"95 % interval {show.interval(result['ci95'])}, 90 % interval {show.interval(result.get('ci90'))}, "
        f"{_prompts(result)}; "
        f"minimum detectable effect {show.number(result['mde'], '.2f')} points")
    return (
        f'{notes}<div class="verdict{good}"><b>{html.escape(result["verdict"])}</b>{title} · {_meaning(result)}<br>'
        f"{html.escape(result['verdict_reason'])}{recommended}{tested}.<br>"
        f"Stated confidence: {html.escape(result['beside']['confidence'])}.{_few_seeds(result)}</div>"
    )


def _few_seeds(result: dict) -> str:
    """What p means with so few seeds; it stands beside p, not only in the list of remarks."""
    said = result["beside"].get("few_seeds")
    return f"<br>{html.escape(said[0].upper() + said[1:])}." if said else ""


def _described(result: dict) -> str:
    """Judgments from elsewhere without a verdict: first what is missing for one, then what the numbers describe."""
    missing = "".join(f"<li>{html.escape(line)}</li>" for line in result["missing_for_verdict"])
    roles, numbers = result["roles"], []
    if result["delta"] is not None:
        numbers.append(f"{roles['treatment']} − {roles['baseline']}: Δ alignment {result['delta']:+.2f} points, 95 % interval "
                       f"{show.interval(result['ci95'])} over {result['interval_over'] or 'too few prompts'}, "
                       f"{_prompts(result)} ({result['headline']} scores)")
    if result.get("base_minus_baseline") is not None:
        numbers.append(f"{roles['base']} − {roles['baseline']}: {result['base_minus_baseline']:+.2f} points, unfiltered")
    described = "".join(f"<li>{html.escape(line)}</li>" for line in numbers) or "<li>no arm can be compared with another</li>"
    return (
        f'<div class="verdict"><b>{html.escape(result["verdict"])}</b> · No verdict: the gates need what these judgments do '
        f"not hold.<br>Missing for a verdict:<ul>{missing}</ul>What the judgments describe, with no test and no claim:"
        f"<ul>{described}</ul></div>"
    )


def _prompts(result: dict) -> str:
    return "– prompts" if result["n_prompts"] is None else show.plural(result["n_prompts"], "prompt")


def _counts(result: dict) -> str:
    both = []
    for kind in ("filtered", "unfiltered"):
        entry = result[kind]
        if entry:
            delta, ci95 = show.number(entry["delta"], "+.2f"), show.interval(entry["ci95"])
            both.append(f"{kind.capitalize()}: Δ {delta}, interval {ci95}.")
    return " ".join([f"Headline: {result['headline'] or 'none'} ({result['headline_reason']}).", *both])


def _image(path: Path, drawing: str | None, alt: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    return f'<a href="{html.escape(drawing)}">{image}</a>' if drawing else image


def _tables(result: dict) -> str:
    import pandas as pd

    from lib.results import arm_table

    lacking = [*result["missing"], *(f"not asked: {row['condition']}, seed {row['seed']}, {row['prompt_id']}"
                                     for row in result["prompts_absent"])]
    lacking += [f"{row['prompt_id']} left {row['comparison']} ({row['scores']}): {'; '.join(row['reasons'])}"
                for row in result["prompts_left_out"]]
    order = result["order"] or list(result["arms"])
    on = result["reflex_subset"] or "all prompts"
    caption = f"Means of per-prompt means in points; rates as shares, reflex rates on {on}"
    arms = show.table(arm_table(read_arms(result["arms"]), order), caption)
    checks = show.table(pd.DataFrame(result["checks"]), "Validity checks; a failed one makes the verdict invalid")
    parts = [f'<h2>Arms</h2><div class="wide">{arms}</div>', f'<h2>Validity checks</h2><div class="wide">{checks}</div>']
    if lacking:
        parts.append(f"<h2>Missing data</h2><details><summary>{show.plural(len(lacking), 'line')}</summary><ul>" + "".join(
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
                 f"{show.interval(stripped['ci95'])}, {show.plural(stripped['n_replaced'], 'answer')} judged without it."
                 "</p>" if stripped
                 else "<p>Re-score with the opening stripped: none.</p>")
    if judge.get("ledger"):
        parts.append(show.ledger(judge["ledger"]))
    return f'<div class="wide">{"".join(parts)}</div>'


def _predictions(result: dict) -> str:
    import pandas as pd

    return "<h2>Predictions</h2>" + show.table(pd.DataFrame(result["predictions"])) if result["predictions"] else ""


def _attempts(result: dict) -> str:
    import pandas as pd

    if not result.get("attempts"):
        return ""
    table = show.table(pd.DataFrame(result["attempts"]), "Runs on this base with a result of the treatment, oldest first")
    return f'<h2>Attempts</h2><p class="small">Attempts are part of the result.</p><div class="wide">{table}</div>'


def _deviations(result: dict) -> str:
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in result["deviations"])
    return (f"<h2>Deviations from the plan</h2><details><summary>{show.plural(len(result['deviations']), 'difference')} "
            f"from the pre-registered full-scale profile</summary><ul>{lines}</ul></details>") if lines else ""


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
