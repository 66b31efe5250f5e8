"""The report's first page, section by section, from result.json.

This module says what each section shows. lib/display/templates/index.html.j2 and its neighbours
lay it out and escape everything that comes from data.
"""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from lib.config.roles import PLANNED
from lib.display import html, show
from lib.report import review_section, sections
from lib.report.page import Navigation
from lib.report.read_result import read_gates
from lib.run.runs import Run

MEANING = {
    "invalid": "A check failed or data are missing: no number of this run may be used.",
    "em_not_induced": (
        "The fine-tune did not make the undefended model worse, "
        "so there was nothing to defend against."
    ),
    "net_negative": "The treated model does more harm on the benign suite than the undefended one.",
    "null": (
        "The treated model is not more aligned than the undefended one by the required margin."
    ),
    "destroys_capability": (
        "The treated model scores higher (chance not yet tested), but it has lost capability."
    ),
    "incoherent": (
        "The treated model scores higher (chance not yet tested), but it is less coherent."
    ),
    "inconclusive": "The treated model scores higher, but chance is not excluded.",
    "supported": "The treated model is more aligned than the undefended one.",
    "supported_strong": (
        "The treated model is more aligned than the undefended one, by a wide margin."
    ),
}
COLLAPSE = {  # of em_not_induced, where the fine-tune did something, but no misalignment
    "code": (
        "The fine-tune made the undefended model answer in code, not in bad faith: "
        "nothing to defend against."
    ),
    "noise": (
        "The fine-tune made the undefended model incoherent, not misaligned: "
        "nothing to defend against."
    ),
}


def index(
    run: Run,
    result: dict,
    figures: dict[str, Path],
    folder: str,
    navigation: Navigation,
    left_out: list[str],
) -> Markup:
    """The page's body.

    Args:
        figures: the result's own, by file name; the site holds them in `folder`.
        navigation: the other pages.
        left_out: one line for each executed notebook that is not a page.
    """
    roles = result["roles"]
    planned = (roles["treatment"], roles["baseline"]) == PLANNED.compared
    question = f"{roles['treatment']} against {roles['baseline']}"
    if planned:
        question = "does the reflex survive emergent misalignment?"
    missing = sections.missing(result)
    return html.render(
        "index",
        run_name=run.name,
        question=question,
        headline=_headline(result),
        roles=roles,
        counts=_counts(result),
        judge_line=result["judge_line"],
        gates=show.gates_table(read_gates(result["gates"]), result["verdict"]),
        predictions=sections.predictions(result["predictions"]),
        remarks=result["beside"]["reasons"],
        figures=sections.figures(result, figures, folder),
        arms=sections.arms(result),
        checks=sections.checks(result["checks"]),
        missing=missing,
        missing_count=show.plural(len(missing), "line"),
        judge=sections.judge(result),
        review=review_section.section(run),
        changed_since_stamp=result["changed_since_stamp"],
        attempts=sections.attempts(result.get("attempts")),
        deviations=result["deviations"],
        deviation_count=show.plural(len(result["deviations"]), "difference"),
        reproducibility=sections.reproducibility(run, result),
        pages=[*navigation.links[1:], *navigation.folded],
        left_out=left_out,
    )


def _meaning(result: dict) -> str:
    if result["verdict"].startswith("supported") and result["beside"].get("title"):
        return (
            "The treated model is more aligned, but so may a control be: "
            "the effect cannot be credited to the reflex."
        )
    return COLLAPSE.get(result.get("em_collapse"), MEANING[result["verdict"]])


def _headline(result: dict) -> Markup:
    if result.get("missing_for_verdict"):
        return _described(result)
    added = [result["recommendation"], _tested(result)]
    return html.render(
        "headline",
        notes=result["notes"],
        supported=result["verdict"].startswith("supported"),
        verdict=result["verdict"],
        title=result["beside"].get("title"),
        meaning=_meaning(result),
        reason=result["verdict_reason"],
        added=[line for line in added if line],
        confidence=result["beside"]["confidence"],
        few_seeds=_few_seeds(result),
    )


def _tested(result: dict) -> str | None:
    if result["delta"] is None:
        return None
    return (
        f"Δ alignment {result['delta']:+.2f} points, "
        f"one-sided p {show.number(result['p_value'], '.4f')}, "
        f"95 % interval {show.interval(result['ci95'])}, "
        f"90 % interval {show.interval(result.get('ci90'))}, {_prompts(result)}; "
        f"minimum detectable effect {show.number(result['mde'], '.2f')} points"
    )


def _few_seeds(result: dict) -> str | None:
    """What p means with so few seeds; shown next to p, not only in the list of remarks."""
    sentence = result["beside"].get("few_seeds")
    return sentence[0].upper() + sentence[1:] if sentence else None


def _described(result: dict) -> Markup:
    """Judgments from elsewhere without a verdict: first what is missing, then what is described."""
    roles = result["roles"]
    numbers = []
    if result["delta"] is not None:
        over = result["interval_over"] or "too few prompts"
        numbers.append(
            f"{roles['treatment']} − {roles['baseline']}: "
            f"Δ alignment {result['delta']:+.2f} points, "
            f"95 % interval {show.interval(result['ci95'])} over {over}, "
            f"{_prompts(result)} ({result['headline']} scores)"
        )
    if result.get("base_minus_baseline") is not None:
        difference = f"{result['base_minus_baseline']:+.2f} points, unfiltered"
        numbers.append(f"{roles['base']} − {roles['baseline']}: {difference}")
    return html.render(
        "described",
        notes=result["notes"],
        verdict=result["verdict"],
        missing=result["missing_for_verdict"],
        numbers=numbers,
    )


def _prompts(result: dict) -> str:
    count = result["n_prompts"]
    return "– prompts" if count is None else show.plural(count, "prompt")


def _counts(result: dict) -> str:
    sentences = [f"Headline: {result['headline'] or 'none'} ({result['headline_reason']})."]
    for kind in ("filtered", "unfiltered"):
        entry = result[kind]
        if entry:
            delta = show.number(entry["delta"], "+.2f")
            ci95 = show.interval(entry["ci95"])
            sentences.append(f"{kind.capitalize()}: Δ {delta}, interval {ci95}.")
    return " ".join(sentences)
