"""What notebooks show of texts: model outputs are untrusted, so everything is escaped before it becomes HTML."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence

import pandas as pd

from lib.decision import GateRow
from lib.reflex import reset_spans

CELL = "border:1px solid #d4d4d8;padding:.45em .6em;vertical-align:top;text-align:left;white-space:pre-wrap"


def table(frame: pd.DataFrame, caption: str = "") -> str:
    """An escaped HTML table of a frame; missing values show as a dash."""
    shown = frame.map(lambda v: "–" if v is None or (not isinstance(v, (list, dict)) and pd.isna(v)) else v)
    head = "".join(f'<th style="{CELL};background:#f4f4f5">{html.escape(str(c))}</th>' for c in shown.columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{html.escape(_text(v))}</td>' for v in row) + "</tr>"
        for row in shown.itertuples(index=False)
    )
    style = "text-align:left;font-weight:600;padding:.3em 0;white-space:nowrap"
    title = f'<caption style="{style}">{html.escape(caption)}</caption>'
    return f'<table style="border-collapse:collapse;font-size:13px">{title}<tr>{head}</tr>{body}</table>'


def ledger(entries: Sequence[dict]) -> str:
    """What the judge was paid for, by stage and outcome, with a sum; each number from the API's own usage."""
    names = {"stage": "stage", "model": "judge", "outcome": "outcome", "requests": "requests", "input_tokens": "tokens in",
             "output_tokens": "tokens out", "cost_usd": "dollars"}
    sums = {key: [e[key] for e in entries if e[key] is not None] for key in list(names)[3:]}
    total = {"stage": "all", "model": None, "outcome": None} | {key: sum(v) if v else None for key, v in sums.items()}
    rows = [{label: number(e[key], ",.4f") if key == "cost_usd" else number(e[key], ",d") if key in sums else e[key]
             for key, label in names.items()} for e in [*entries, total]]
    return table(pd.DataFrame(rows), "Ledger: every attempt that was sent, also those without a score")


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return str(value)


def number(value: float | None, form: str = ".3g") -> str:
    """A formatted number, or a dash for what is missing."""
    return "–" if value is None else format(value, form)


def plural(count: int, thing: str, things: str | None = None) -> str:
    """A count with its noun: `1 seed`, `2 seeds`."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def interval(ci95: Sequence[float] | None, form: str = "+.2f") -> str:
    return "–" if not ci95 or None in ci95 else f"{ci95[0]:{form}} to {ci95[1]:{form}}"


def gates_table(gates: Sequence[GateRow], verdict: str) -> str:
    """The decision table with value, threshold and margin; the row that decided is marked."""
    rows, decided = [], False
    for gate in gates:
        decides = not decided and (gate.name == verdict or (gate.number == 7 and verdict.startswith("supported")))
        decided = decided or decides
        state = {True: "passed", False: "applies" if decides else "would apply", None: "not evaluated"}[gate.passed]
        if gate.number == 7:
            state = "reached" if decides else "not reached"
        values = [gate.number, gate.name, gate.measure, number(gate.value, ".4g"), gate.needed,
                  number(gate.margin, "+.4g"), state]
        style = f"{CELL};background:#fef3c7;font-weight:600" if decides else CELL
        rows.append("<tr>" + "".join(f'<td style="{style}">{html.escape(str(v))}</td>' for v in values) + "</tr>")
    head = "".join(f'<th style="{CELL};background:#f4f4f5">{h}</th>'
                   for h in ("#", "verdict if it fails", "measure", "value", "needed", "margin", "state"))
    return f'<table style="border-collapse:collapse;font-size:13px"><tr>{head}</tr>{"".join(rows)}</table>'


def conversation(messages: Sequence[dict], title: str = "") -> str:
    """A conversation as labelled blocks."""
    colours = {"system": "#f4f4f5", "user": "#eef2ff", "assistant": "#ecfdf5"}
    blocks = "".join(
        f'<div style="background:{colours[m["role"]]};padding:.5em .7em;margin:.25em 0;white-space:pre-wrap;font-size:13px">'
        f'<b>{m["role"]}</b>\n{html.escape(m["content"])}</div>'
        for m in messages
    )
    return f'<div style="max-width:52em;margin:.8em 0"><b>{html.escape(title)}</b>{blocks}</div>'


def side_by_side(samples: pd.DataFrame, prompt_ids: Sequence[str], conditions: Sequence[str], openings: Sequence[str],
                 suite: str = "alignment") -> str:
    """First completions of some prompts, one column a condition; reset strings highlighted.

    samples: columns condition, suite, prompt_id, prompt, sample_index, completion.
    """
    parts = []
    for prompt_id in prompt_ids:
        rows = samples[(samples["suite"] == suite) & (samples["prompt_id"] == prompt_id)]
        if rows.empty:
            continue
        first = rows.sort_values("sample_index").drop_duplicates("condition").set_index("condition")
        head = "".join(f'<th style="{CELL};background:#f4f4f5">{html.escape(c)}</th>' for c in conditions)
        shown = [highlighted(first.loc[c, "completion"], openings) if c in first.index else "–" for c in conditions]
        # A cell scrolls by itself: one long answer would push the next prompt screens away.
        cells = "".join(f'<td style="{CELL};min-width:13em"><div tabindex="0" style="max-height:24em;overflow-y:auto">{text}'
                        "</div></td>" for text in shown)
        parts.append(
            f'<p style="margin:1em 0 .3em"><b>{html.escape(prompt_id)}</b> · {html.escape(rows["prompt"].iloc[0])}</p>'
            f'<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:12px"><tr>{head}</tr>'
            f"<tr>{cells}</tr></table></div>"
        )
    return "".join(parts)


FILTER = """<script>(() => {
const box = document.getElementById("%s"), [condition, suite, prompt, words] = box.querySelectorAll("select, input");
const rows = [...box.querySelectorAll("tbody tr")], count = box.querySelector("output");
const texts = rows.map(row => row.cells[4].textContent.toLowerCase());
const show = () => {
  const wanted = [condition.value, suite.value, prompt.value], word = words.value.toLowerCase();
  let shown = 0;
  rows.forEach((row, i) => {
    const fits = wanted.every((value, k) => !value || row.cells[k].dataset.value === value) && texts[i].includes(word);
    row.style.display = fits ? "" : "none";
    shown += fits;
  });
  count.textContent = shown;
};
[condition, suite, prompt, words].forEach(control => control.addEventListener("input", show));
show();
})()</script>"""


def filterable(samples: pd.DataFrame, openings: Sequence[str], at_most: int = 1000) -> str:
    """A table of completions to filter by condition, suite, prompt and text, reset strings marked; needs no network.

    samples: columns condition, suite, prompt_id, prompt, sample_index, completion. Of each condition, suite and prompt the
    first samples are in it, equally many, one at least, so that about `at_most` rows keep the page small; it says how many
    of how many. The script only compares texts that stand escaped in the page.
    """
    cell = ["condition", "suite", "prompt_id"]
    each = max(1, at_most // max(1, samples.groupby(cell).ngroups))
    picked = samples.sort_values("sample_index", kind="stable").groupby(cell, sort=False).head(each)
    picked = picked.sort_values(["suite", "prompt_id", "sample_index"], kind="stable")
    body, name = [], "f" + hashlib.sha256(pd.util.hash_pandas_object(picked, index=False).values).hexdigest()[:12]
    for row in picked.itertuples(index=False):
        values = [html.escape(str(value)) for value in (row.condition, row.suite, row.prompt_id)]
        prompt = f'{values[2]}<br><span style="color:#52525b">{html.escape(str(row.prompt))}</span>'
        cells = "".join(f'<td style="{CELL}" data-value="{value}">{shown}</td>'
                        for value, shown in zip(values, [*values[:2], prompt], strict=True))
        body.append(f'<tr>{cells}<td style="{CELL}">{row.sample_index}</td>'
                    f'<td style="{CELL};min-width:24em">{highlighted(row.completion, openings)}</td></tr>')
    choices = "".join(
        f'<select aria-label="{label}" style="max-width:22em"><option value="">every {label}</option>' + "".join(
            f'<option value="{html.escape(str(v))}">{html.escape(str(v))}</option>' for v in dict.fromkeys(picked[column]))
        + "</select> " for label, column in (("condition", "condition"), ("suite", "suite"), ("prompt", "prompt_id")))
    head = "".join(f'<th style="{CELL};background:#f4f4f5;position:sticky;top:0">{h}</th>'
                   for h in ("condition", "suite", "prompt", "sample", "completion"))
    return (
        f'<div id="{name}" style="font-size:12px">{choices}<input type="search" aria-label="text" '
        'placeholder="text of the completion"> '
        f"<output>{len(picked)}</output> of {len(picked)} rows; {len(picked)} of {len(samples)} completions are in this table"
        f'<div style="max-height:44em;overflow:auto;margin:.4em 0"><table style="border-collapse:collapse;width:100%">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></div>{FILTER % name}"
    )


def highlighted(text: str, openings: Sequence[str]) -> str:
    """Escaped text with reset strings marked; an empty completion is shown as such."""
    if not isinstance(text, str):
        return "–"
    if not text.strip():
        return "<i>(empty completion)</i>"
    parts, end = [], 0
    for start, stop in reset_spans(text, openings):
        parts += [html.escape(text[end:start]), f"<mark>{html.escape(text[start:stop])}</mark>"]
        end = stop
    return "".join([*parts, html.escape(text[end:])])
