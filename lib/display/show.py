"""Tables and texts as notebooks and the report show them.

Model outputs are untrusted: they reach HTML only through the templates of lib/display/templates,
which escape them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from lib.analysis.decision import GateRow
from lib.data.reflex import reset_spans
from lib.display import html
from lib.display.signs import typeset, with_minus

PERCENT = re.compile(r"(?<=\d) %")  # a number and its sign, which no cell breaks apart
LAST_GATE = 7  # what is left when gates 0 to 6 pass
SOUND = "every check passes, no data are missing"  # what gate 0 needs besides judged answers
GATE_STATES = {
    "passed": "passed",
    "failed": "stopped here",
    "unreached": "not reached",
    "reached": "reached",
}


def table(frame: pd.DataFrame, caption: str = "") -> Markup:
    """An HTML table of a frame; missing values show as a dash."""
    texts = frame.map(_or_dash).map(_text)
    rows = texts.itertuples(index=False, name=None)
    return html.render("table", columns=frame.columns, rows=list(rows), caption=caption)


def ledger(entries: Sequence[Mapping[str, Any]]) -> Markup:
    """The attempts that the judge was paid for, by stage and outcome, with a sum.

    entries: of `lib.judge.store.ledger`, from the API's own usage.
    """
    forms = {"requests": ",d", "input_tokens": ",d", "output_tokens": ",d", "cost_usd": ",.4f"}
    sums = {key: _sum(entries, key) for key in forms}
    total = {"stage": "all", "model": None, "outcome": None} | sums
    rows = [
        {
            "stage": entry["stage"],
            "judge": entry["model"],
            "outcome": entry["outcome"],
            "requests": number(entry["requests"], forms["requests"]),
            "tokens in": number(entry["input_tokens"], forms["input_tokens"]),
            "tokens out": number(entry["output_tokens"], forms["output_tokens"]),
            "dollars": number(entry["cost_usd"], forms["cost_usd"]),
        }
        for entry in [*entries, total]
    ]
    caption = "Ledger: every attempt that was sent, also those without a score"
    return table(pd.DataFrame(rows), caption)


def _sum(entries: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """The sum of what is known; None if nothing is."""
    known = [entry[key] for entry in entries if entry[key] is not None]
    return sum(known) if known else None


def _or_dash(value: Any) -> Any:
    """A value, or a dash for a missing one."""
    is_missing = value is None or (not isinstance(value, (list, dict)) and pd.isna(value))
    return "–" if is_missing else value


def _text(value: object) -> str:
    """A value as a table shows it: four significant digits of a number that is not whole."""
    if isinstance(value, float):
        return with_minus(f"{value:.0f}" if value.is_integer() else f"{value:.4g}")
    return PERCENT.sub("\u00a0%", str(value))


def number(value: float | None, form: str = ".3g") -> str:
    """A formatted number, or a dash for what is missing."""
    return "–" if value is None else with_minus(format(value, form))


def points(value: float | None, sign: str = "+") -> str:
    """Points of 0-100 as the report writes them; `sign` is "" for what is not a difference."""
    return number(value, f"{sign}.1f")


def percent(share: float | None) -> str:
    """A share of 0-1 in percent as the report writes it, or a dash."""
    return "–" if share is None else with_minus(f"{100 * share:.1f} %")


def duration(seconds: float | None) -> str:
    """Seconds as a person says them; empty for None."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, thing: str, things: str | None = None) -> str:
    """A count with its noun: `1 seed`, `2 seeds`."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def interval(ci95: Sequence[float | None] | None, form: str = "+.1f") -> str:
    """Both ends of an interval, or a dash where one is missing."""
    if not ci95 or None in ci95:
        return "–"
    return f"{number(ci95[0], form)} to {number(ci95[1], form)}"


def gates_table(gates: Sequence[GateRow], verdict: str) -> Markup:
    """The decision table with value, threshold and margin; the row that decided is marked."""
    rows = []  # (texts, whether this row decided)
    decided = False
    for gate in gates:
        if gate.number == LAST_GATE:
            decides = verdict.startswith("supported")
            state = "reached" if decides else "unreached"
        else:
            decides = gate.name == verdict and not decided
            state = "failed" if decides else "passed" if gate.passed else "unreached"
        state = "unreached" if decided else state
        decided = decided or decides
        measured = [number(gate.value, ".4g"), typeset(gate.needed), number(gate.margin, "+.4g")]
        if decides and gate.number == 0 and (gate.margin or 0) >= 0:
            measured = ["–", SOUND, "–"]  # a check failed, and gate 0's own number holds
        texts = [gate.number, gate.name, gate.measure, *measured, GATE_STATES[state]]
        rows.append((texts, decides))
    return html.render("gates", rows=rows)


def conversation(messages: Sequence[Mapping[str, str]], title: str = "") -> Markup:
    """A conversation as labelled blocks."""
    return html.render("conversation", messages=messages, title=title)


def side_by_side(
    samples: pd.DataFrame,
    prompt_ids: Sequence[str],
    conditions: Sequence[str],
    openings: Sequence[str],
    suite: str = "alignment",
) -> Markup:
    """First completions of some prompts, one column per condition; reset strings are marked.

    Args:
        samples: columns condition, suite, prompt_id, prompt, sample_index, completion.
        openings: the reset strings.
    """
    prompts = []
    for prompt_id in prompt_ids:
        rows = samples[(samples["suite"] == suite) & (samples["prompt_id"] == prompt_id)]
        if rows.empty:
            continue
        by_index = rows.sort_values("sample_index")
        first = by_index.drop_duplicates("condition").set_index("condition")["completion"]
        completions = [highlighted(first.get(name), openings) for name in conditions]
        text = rows["prompt"].iloc[0]
        prompts.append({"prompt_id": prompt_id, "text": text, "completions": completions})
    return html.render("side_by_side", prompts=prompts, conditions=conditions)


def filterable(samples: pd.DataFrame, openings: Sequence[str], at_most: int = 1000) -> Markup:
    """A table of completions to filter by condition, suite, prompt and text; needs no network.

    It shows the first samples of each condition, suite and prompt: equally many of each, at least
    one, and about `at_most` rows in all, so that the page stays small. It says how many samples
    there are. Reset strings are marked. The script only compares texts that the page has escaped.

    Args:
        samples: columns condition, suite, prompt_id, prompt, sample_index, completion.
        openings: the reset strings.
    """
    cell = ["condition", "suite", "prompt_id"]
    per_cell = max(1, at_most // max(1, samples.groupby(cell).ngroups))
    by_index = samples.sort_values("sample_index", kind="stable")
    picked = by_index.groupby(cell, sort=False).head(per_cell)
    picked = picked.sort_values(["suite", "prompt_id", "sample_index"], kind="stable")
    by_row = pd.util.hash_pandas_object(picked, index=False).to_numpy()
    content = hashlib.sha256(by_row.tobytes()).hexdigest()
    rows = picked.to_dict("records")
    for row in rows:
        row["completion"] = highlighted(row["completion"], openings)
    return html.render(
        "filterable",
        box_id=f"f{content[:12]}",
        choices={
            "condition": picked["condition"].unique(),
            "suite": picked["suite"].unique(),
            "prompt": picked["prompt_id"].unique(),
        },
        rows=rows,
        total=len(samples),
    )


def highlighted(text: object, openings: Sequence[str]) -> Markup | str:
    """A completion with its reset strings marked; a missing one is a dash, an empty one says so."""
    if not isinstance(text, str):
        return "–"
    if not text.strip():
        return html.render("highlighted", pieces=[])
    pieces = []  # (text, whether it is a reset string)
    end = 0
    for start, stop in reset_spans(text, openings):
        pieces += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    pieces.append((text[end:], False))
    return html.render("highlighted", pieces=pieces)
