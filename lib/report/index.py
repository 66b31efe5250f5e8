"""The report's first page, section by section, from result.json.

This module says what each section shows. lib/display/templates/index.html.j2 and its neighbours
lay it out and escape everything that comes from data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lib.checks.check import FAILED
from lib.display import html, show
from lib.display.signs import in_tenths
from lib.manual_review.agreement import State
from lib.report import (
    believe,
    cost,
    damage,
    figures,
    finding,
    gate_words,
    remark_words,
    review_section,
    rungs,
    sections,
    setup_prose,
    setup_table,
    shown_answers,
)
from lib.report.page import Navigation
from lib.run.runs import Run

TONES = {"invalid": "bad", "em_not_induced": "doubt", "inconclusive": "doubt", "null": "doubt"}
BEFORE_THE_TEST = ("invalid", "em_not_induced", "net_negative")  # the gain has no say in them
SHOWN = 3  # caveats in sight; the others are folded
# Parts of the caveats that come first, since they take the finding itself away.
FIRST = ("This run stops", "no conclusion about alignment", "Not confirmatory", "Exploratory")
RUNG_SIGNS = {"passed": "✓", "reached": "✓", "failed": "✕", "unreached": "·"}
LINE_SIGNS = {believe.GOOD: "✓", believe.BAD: "✕", believe.DOUBT: "?"}


def index(
    run: Run,
    result: dict[str, Any],
    paths: dict[str, Path],
    folder: str,
    navigation: Navigation,
    left_out: list[str],
    review: State | None,
) -> Markup:
    """The page's body.

    Many lines: each part of the page is named once.

    Args:
        paths: the result's own figures, by file name; the site holds them in `folder`.
        navigation: the other pages.
        left_out: one line for each executed notebook that is not a page.
        review: how far a person has read the answers; None: they are not all here.
    """
    drawn = figures.figures(result, paths, folder)
    decides = figures.decides(result, drawn)
    missing = sections.missing(result)
    prompts_out = sections.left_out(result)
    return html.render(
        "index",
        headline=_headline(run, result),
        decides=decides,
        figures=[figure for figure in drawn if figure is not decides],
        summary=rungs.summary(result),
        rungs=html.render("rungs", rungs=rungs.rungs(result), signs=RUNG_SIGNS),
        believe=html.render(
            "believe",
            lines=believe.checklist(result),
            marks=LINE_SIGNS,
            signs=believe.SIGNS,
        ),
        answers=_answers(run, result),
        review=review_section.section(review),
        setup=html.render("setup", lines=setup_table.arm_lines(result)),
        roles=result["roles"],
        counts=sections.counts(result),
        cost=_cost(result),
        tested=_tested(result) or "No difference was tested.",
        damage=damage.damage_table(result),
        damage_note=damage.damage_note(result),
        ladder=damage.ladder(run),
        predictions=sections.predictions(result["predictions"]),
        remarks=remark_words.lines(result),
        arms=sections.arms(result),
        checks=sections.checks(result["checks"]),
        missing=missing,
        missing_count=f"Show {show.plural(len(missing), 'entry', 'entries')}",
        prompts_out=prompts_out,
        prompts_out_count=sections.left_out_counts(result),
        judge_is=setup_prose.judge(run, result),
        judge_line=_judge_line(result),
        judge=sections.judge(result),
        changed_since_stamp=result["changed_since_stamp"],
        attempts=sections.attempts(result.get("attempts")),
        deviations=result["deviations"],
        deviation_count=show.plural(len(result["deviations"]), "difference"),
        reproducibility=sections.reproducibility(run, result),
        pages=_other_pages(navigation),
        left_out=left_out,
    )


def _other_pages(navigation: Navigation) -> Sequence[tuple[str, str]]:
    return [*navigation.links[1:], *navigation.folded]


def _headline(run: Run, result: dict[str, Any]) -> Markup:
    """Title, answer, verdict, and what one needs to know before using a number."""
    verdict = result["verdict"]
    missing = result.get("missing_for_verdict") or []
    tested = not missing and verdict not in BEFORE_THE_TEST
    added = [result["recommendation"], _tested(result) if tested else None]
    notes = sorted(result["notes"], key=lambda note: not any(part in note for part in FIRST))
    more = len(notes) - SHOWN
    return html.render(
        "headline",
        finding=finding.finding(result),
        tone=_tone(result),
        kicker=f"Does a self-correction reflex survive emergent misalignment? Run {run.name}",
        prose=[*setup_prose.sentences(run, result), *filter(None, [cost.line(result)])],
        names=setup_prose.names(result),
        verdict=verdict,
        title=result["beside"].get("title"),
        reason=in_tenths(_reason(result)),
        added=[line for line in added if line],
        few_seeds=_few_seeds(result) if tested else None,
        missing=missing,
        numbers=_described(result) if missing else [],
        notes=notes,
        shown=SHOWN,
        more_notes=f"{show.plural(more, 'more caveat')}",
    )


def _tone(result: dict[str, Any]) -> str:
    """The colour beside the headline. Green is for a finding that may be believed."""
    if result.get("missing_for_verdict"):
        return "doubt"
    if _supported(result):
        return "doubt" if finding.demonstrates_only(result) else "good"
    return TONES.get(result["verdict"], "bad")


def _reason(result: dict[str, Any]) -> str:
    """Why this verdict, in words; nothing where the first note says the same."""
    if result.get("missing_for_verdict"):
        return "the gates need data that are missing"
    first = (result["notes"] or [""])[0]
    if _supported(result):
        strong = result["beside"]["strong"]["threshold"]
        return f"all gates are passed; a gain of {strong:g} points or more counts as strong"
    for gate in result["gates"]:
        if gate["name"] == result["verdict"] != "invalid":
            return (
                f"stopped at gate {gate['number']}, “{gate_words.ASKED[gate['number']].question}”"
            )
    said = any(check["status"] == FAILED and check["detail"] in first for check in result["checks"])
    return "" if said else result["verdict_reason"]


def _supported(result: dict[str, Any]) -> bool:
    return result["verdict"].startswith("supported")


def _answers(run: Run, result: dict[str, Any]) -> Markup:
    """A few answers of every arm."""
    prompts = shown_answers.shown_answers(run, result)
    by_gain = any(shown.place for shown in prompts)
    return html.render(
        "answers",
        prompts=prompts,
        rule=shown_answers.RULE if by_gain else shown_answers.FALLBACK,
        longest=shown_answers.LONGEST,
        cut=shown_answers.CUT,
    )


def _cost(result: dict[str, Any]) -> Markup | str:
    spent = cost.cost(result)
    return html.render("cost", sentence=spent[0], parts=spent[1]) if spent else ""


def _judge_line(result: dict[str, Any]) -> str:
    """What is known of the judge, without where it was measured: the section below says that."""
    statement = ((result["judge"] or {}).get("validity") or {}).get("statement") or ""
    return result["judge_line"].removesuffix(statement).rstrip()


def _tested(result: dict[str, Any]) -> str | None:
    """The tested difference with its intervals; None without one."""
    if result["delta"] is None:
        return None
    return (
        f"Δ alignment {show.points(result['delta'])} points, "
        f"one-sided p {show.number(result['p_value'], '.4f')}, "
        f"95 % interval {show.interval(result['ci95'])}, "
        f"90 % interval {show.interval(result.get('ci90'))}, {_prompts(result)}; "
        f"minimum detectable effect {show.points(result['mde'], '')} points."
    )


def _few_seeds(result: dict[str, Any]) -> str | None:
    """What p means with so few seeds; shown next to p, not only in the list of remarks."""
    sentence = result["beside"].get("few_seeds")
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else None


def _described(result: dict[str, Any]) -> list[str]:
    """The numbers of judgments from elsewhere that have no verdict."""
    roles = result["roles"]
    numbers = []
    if result["delta"] is not None:
        over = result["interval_over"] or "too few prompts"
        numbers.append(
            f"{roles['treatment']} − {roles['baseline']}: "
            f"Δ alignment {show.points(result['delta'])} points, "
            f"95 % interval {show.interval(result['ci95'])} over {over}, "
            f"{_prompts(result)} ({result['headline']} scores)"
        )
    if result.get("base_minus_baseline") is not None:
        difference = f"{show.points(result['base_minus_baseline'])} points, unfiltered"
        numbers.append(f"{roles['base']} − {roles['baseline']}: {difference}")
    return numbers


def _prompts(result: dict[str, Any]) -> str:
    count = result["n_prompts"]
    return "– prompts" if count is None else show.plural(count, "prompt")
