"""Damage and repair: gate 1 and Δ with and without the EM set's own field, control, ladder.

Source: docs/protocol.md section 4.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from lib.config.roles import PLANNED
from lib.display import show
from lib.report import arm_words
from lib.report.alt_texts import ladder_alt
from lib.report.figures import Figure
from lib.report.ladder_table import ladder_sentence, ladder_table
from lib.run.records import read_record
from lib.run.runs import Run


class Ladder(NamedTuple):
    """What the page shows of a run's ladder."""

    sentence: str
    table: Markup
    figure: Figure | None


def damage_table(result: Mapping[str, Any]) -> Markup:
    """Damage, gain and the share recovered, on all prompts and without the set's own field."""
    far = result.get("far_field") or {}
    far_filtered = far.get("base_minus_baseline_filtered")
    effect = far.get("effect") or {}
    base = result["roles"].get("base", PLANNED.base)
    words = arm_words.parts_of(result)
    untrained = words[base]
    undefended = words[result["roles"]["baseline"]]
    defended = words[result["roles"]["treatment"]]
    rows = [
        {
            "what": f"damage: {untrained} − {undefended}, all scored answers",
            "all prompts": _damage(result, ""),
            "without the bad data's own field": show.points(far.get("base_minus_baseline")),
        },
        {
            "what": f"damage: {untrained} − {undefended}, coherent answers alone",
            "all prompts": _damage(result, "_filtered"),
            "without the bad data's own field": show.points(far_filtered),
        },
        {
            "what": f"gain: Δ, {defended} − {undefended}",
            "all prompts": _with_interval(result),
            "without the bad data's own field": _with_interval(effect),
        },
        {
            "what": "share recovered: Δ / damage",
            "all prompts": show.percent(result.get("share_recovered")),
            "without the bad data's own field": show.percent(far.get("share_recovered")),
        },
    ]
    if (control := result.get("set_control")) and control["unfiltered"]:
        rows.append(
            {
                "what": f"control: {untrained} − {control['arm']}, all scored answers",
                "all prompts": _with_interval(control["unfiltered"]),
                "without the bad data's own field": "–",
            }
        )
    return show.table(pd.DataFrame(rows), "Damage and gain in points of 0–100, with 95 % intervals")


def damage_note(result: Mapping[str, Any]) -> str:
    """What the second column leaves out, and what the control says."""
    left_out = (result.get("far_field") or {}).get("left_out") or []
    note = (
        f"The second column leaves out {show.plural(len(left_out), 'prompt')} of the bad data's "
        "own field: damage there alone would be a lesson learned, not emergent misalignment."
        if left_out
        else "No eval prompt is listed as belonging to the bad data's own field, so there is "
        "nothing to leave out."
    )
    if control := result.get("set_control"):
        note += (
            f" {control['arm']} was trained on good answers to the bad data's own questions. "
            "Its difference from base is what such training does without the badness."
        )
    if result.get("share_recovered") is None:
        note += " The share recovered is not given where the damage is below gate 1's bound."
    return note


def _damage(result: Mapping[str, Any], kind: str) -> str:
    """Gate 1's number with its interval."""
    ci95 = (result.get("gate_intervals") or {}).get(f"base_minus_baseline{kind}")
    return _with_interval({"delta": result.get(f"base_minus_baseline{kind}"), "ci95": ci95})


def _with_interval(effect: Mapping[str, Any]) -> str:
    if effect.get("delta") is None:
        return "–"
    return f"{show.points(effect['delta'])} ({show.interval(effect.get('ci95'))})"


def ladder(run: Run) -> Ladder | None:
    """The ladder that chose the dose of the bad data; None where the run has none."""
    chosen = run.ladder / "chosen.json"
    if not chosen.exists():
        return None
    record = read_record(chosen)
    table = show.table(ladder_table(record), "Every dose, tried on the undefended model alone")
    return Ladder(ladder_sentence(record), table, _figure(run, record))


def _figure(run: Run, record: Mapping[str, Any]) -> Figure | None:
    png = run.ladder / "ladder.png"
    if not png.exists():
        return None
    svg = png.with_suffix(".svg")
    drawn, kind = (svg, "svg+xml") if svg.exists() else (png, "png")
    return Figure(
        name="ladder",
        title="What each dose did to the undefended model",
        caption="Dotted lines are the rule's bounds. The chosen dose is in bold.",
        alt=ladder_alt(record),
        data=base64.b64encode(drawn.read_bytes()).decode(),
        kind=kind,
        files=[],
    )
