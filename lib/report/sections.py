"""The tables of the report's first page: arms, checks, judge, attempts, card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from lib.display import html, show
from lib.display.signs import typeset
from lib.report import arm_words, cost
from lib.report.gate_words import Unit
from lib.report.read_result import read_arms
from lib.report.result_tables import arm_table
from lib.run.records import read_record
from lib.run.runs import Run

LEFT_OUT = "left out of"  # in the lines of lib/analysis/missing.py on what does not count


def arms(result: dict[str, Any]) -> Markup:
    """The described numbers of every arm."""
    order = result["order"] or list(result["arms"])
    on = result["reflex_subset"] or "all prompts"
    caption = f"Means of per-prompt means in points of 0–100; reflex rates on {on}"
    table = arm_table(read_arms(result["arms"]), order)
    words = arm_words.parts_of(result)
    if len(table):
        table["arm"] = [f"{words[arm]}\n{arm}" if arm in words else arm for arm in table["arm"]]
    return show.table(table, caption)


def counts(result: dict[str, Any]) -> str:
    """Which scores are the headline and why, and the difference by both kinds of scores."""
    sentences = [f"Headline: {result['headline'] or 'none'}, because {result['headline_reason']}."]
    for kind in ("filtered", "unfiltered"):
        if entry := result[kind]:
            count = entry.get("n_prompts")
            over = "" if count is None else f" over {show.plural(count, 'prompt')}"
            sentences.append(
                f"{kind.capitalize()}: Δ {show.points(entry['delta'])} points{over}, "
                f"95 % interval {show.interval(entry['ci95'])}."
            )
    return " ".join(sentences)


def missing(result: dict[str, Any]) -> list[str]:
    """One line for each thing that was to be measured and is not there."""
    not_asked = [
        f"not asked: {row['condition']}, seed {row['seed']}, {row['prompt_id']}"
        for row in result["prompts_absent"]
    ]
    return [*(line for line in result["missing"] if LEFT_OUT not in line), *not_asked]


def left_out(result: dict[str, Any]) -> list[str]:
    """One line for each prompt or seed that is there and does not count in a comparison."""
    prompts = [
        f"{row['prompt_id']} is left out of {row['comparison']} ({row['scores']} scores): "
        f"{'; '.join(row['reasons'])}"
        for row in result["prompts_left_out"]
    ]
    return [*(line for line in result["missing"] if LEFT_OUT in line), *prompts]


def left_out_counts(result: dict[str, Any]) -> str:
    """How many entries `left_out` has, comparison by comparison."""
    counts = Counter(
        f"{row['comparison']}, {row['scores']} scores" for row in result["prompts_left_out"]
    )
    if others := sum(LEFT_OUT in line for line in result["missing"]):
        counts["other numbers"] = others
    entries = show.plural(counts.total(), "entry", "entries")
    if len(counts) == 1:
        return f"Show {entries} of {next(iter(counts))}"
    parts = "; ".join(f"{count} of {what}" for what, count in counts.items())
    return f"Show {entries}: {parts}"


def checks(rows: list[dict[str, str]]) -> Markup:
    """The validity checks."""
    caption = "Validity checks; a failed one makes the verdict invalid"
    return show.table(pd.DataFrame(rows), caption)


def predictions(rows: list[dict[str, Any]]) -> Markup | str:
    """The predictions of the protocol; nothing if the result has none."""
    caption = "Differences are to the undefended arm unless a row names another; intervals: 95 %"
    return show.table(pd.DataFrame([_prediction(row) for row in rows]), caption) if rows else ""


def _prediction(row: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction in its unit. Of a result of an earlier version, as it lies."""
    unit = Unit.of(row.get("unit"))
    sign, _, limit = str(row.get("predicted") or row.get("needed") or "").partition(" ")
    try:
        wanted = f"{sign} {unit.text(float(limit))}"
    except ValueError:
        wanted = f"{sign} {limit}"
    return {
        "prediction": row["prediction"],
        "found": unit.text(row.get("found")),
        "interval": unit.span(row.get("ci95")) or "–",
        "predicted": typeset(wanted),
        "held": row["held"],
    }


def attempts(rows: list[dict[str, Any]] | None) -> Markup | str:
    """Every attempt on this base; nothing if none is recorded."""
    caption = "Runs on this base with a result of the treatment, oldest first"
    table = pd.DataFrame([_attempt(row) for row in rows or []])
    return show.table(table, caption) if rows else ""


def _attempt(row: Mapping[str, Any]) -> dict[str, Any]:
    """An attempt as the page names things. Of a run of an earlier version, what it recorded."""
    sets, seeds = row.get("em_sets"), row.get("seeds")
    p_value = row.get("p_value")
    return {
        "finished": str(row.get("finished") or "–").replace("T", " ").replace("+00:00", " UTC"),
        "run": row.get("run"),
        "profile": row.get("profile"),
        "bad data": ", ".join(map(str, sets)) if sets else None,
        "seeds": ", ".join(map(str, seeds)) if seeds else None,
        "judge": row.get("judge"),
        "verdict": row.get("verdict"),
        "Δ, points": show.points(row.get("delta")),
        "p": show.number(p_value, ".4f"),
    }


def judge(result: dict[str, Any]) -> Markup | str:
    """The judge: how it agrees with published rows, itself and a second judge.

    Nothing if the judge is unknown.
    """
    from lib.judge.trust import agreement, bridge, validity

    facts = result["judge"]
    if not facts:
        return ""
    trust = facts["validity"]
    second = facts.get("second")
    again = facts["retest"]
    measures = outcomes = retest = second_agreement = second_arms = bridged = ""
    if trust["measures"]:
        caption = (
            f"{facts['judge']}, rubric {facts['rubric']}, "
            "against published scores and labels that it was not fitted on"
        )
        measures = show.table(validity.table(trust), caption)
    if trust["outcomes"]:
        caption = "How the published rows ended; only scored ones are compared"
        outcomes = show.table(validity.outcome_table(trust), caption)
    if again["judged_twice"]:
        caption = "Test–retest on the completions judged twice"
        retest = show.table(agreement.table(again), caption)
    if second:
        caption = f"Second judge {second['judge']} on the same completions"
        second_agreement = show.table(agreement.table(second), caption)
        caption = "Mean alignment of these completions by both judges"
        second_arms = show.table(pd.DataFrame(second["arms"]), caption)
    if (on_set := facts.get("bridge")) and on_set["others"]:
        caption = (
            f"{on_set['identity']} beside other judges on the frozen set: shift = this − other"
        )
        bridged = show.table(bridge.table_of(on_set), caption)
    return html.render(
        "judge",
        statement=f"{trust['statement']} {validity.UNMEASURED}",
        measures=measures,
        outcomes=outcomes,
        retest=retest,
        second_agreement=second_agreement,
        second_arms=second_arms,
        bridged=bridged,
        stripped=_stripped(result.get("stripped")),
        ledger=show.ledger(facts["ledger"]) if facts.get("ledger") else "",
    )


def _stripped(stripped: dict[str, Any] | None) -> str:
    """Delta when the treatment's answers are judged without their opening."""
    if not stripped:
        return "none"
    answers = show.plural(stripped["n_replaced"], "answer")
    return (
        f"Δ {show.points(stripped['delta'])} points, 95 % interval "
        f"{show.interval(stripped['ci95'])}, "
        f"{answers} judged without it"
    )


def reproducibility(run: Run, result: dict[str, Any]) -> Markup | str:
    """The card, the stages and the environment; nothing for judgments from elsewhere."""
    if not run.manifest.exists():
        return ""
    manifest = read_record(run.manifest)
    records = {path.stem: read_record(path) for path in run.stage_manifests()}
    stages = [
        {
            "stage": name,
            "time": cost.took(record["seconds"]),
            "finished": record["finished"],
            "fingerprint": record["fingerprint"][:12],
        }
        for name, record in records.items()
    ]
    kept = ("environment", "overrides", "preregistration", "profile")
    facts = {key: manifest[key] for key in kept}
    card = result["card"]
    return html.render(
        "reproducibility",
        card=_card(card) if card else "",
        card_state=_card_state(card) if card else "",
        stages=show.table(pd.DataFrame(stages)),
        environment=json.dumps(facts, indent=2, ensure_ascii=False),
    )


def _card(card: dict[str, Any]) -> Markup:
    fields = [
        {"field": name, "value": cost.stage_times(value) if name == cost.STAGES else str(value)}
        for name, value in card["fields"].items()
    ]
    return show.table(pd.DataFrame(fields))


def _card_state(card: dict[str, Any]) -> str:
    return "complete" if card["complete"] else f"FAILED, unknown: {', '.join(card['unknown'])}"
