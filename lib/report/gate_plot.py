"""The figure of the gate that decides: both numbers that it compares, and where it would fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import seaborn as sns

from lib.analysis.bootstrap import Z_INTERVAL
from lib.analysis.findings import Analysis, ArmSummary
from lib.checks.check import FAILED, ON_TRACES, Check
from lib.checks.persona_changes import EVAL_PROMPTS, TRACE_PROMPTS, Change
from lib.display.drawing import BASELINE, NEUTRAL, SIZE, TREATMENT, WIDTH, no_data, one_line, titled
from lib.display.signs import with_minus
from lib.report.believe import PERSONA

NOTHING = ArmSummary()
BARS = "bars: 95 % interval"
KINDS = {"unfiltered": "all answers", "filtered": "coherent ones"}


class Row(NamedTuple):
    """One number of an arm."""

    label: str
    value: float | None
    ci95: Sequence[float] | None
    most: float | None = None  # the gate fails above this
    least: float | None = None  # the gate fails below this


class Panel(NamedTuple):
    """What a gate compares."""

    title: str
    xlabel: str
    rows: Sequence[Row]


def gate(
    analysis: Analysis,
    verdict: str,
    checks: Sequence[Check],
    thresholds: Mapping[str, float],
    changes: Sequence[Change] = (),
) -> plt.Figure:
    """The numbers of the gate that decides, one row per number.

    The side on which the gate fails is hatched in the row that is compared.

    changes: what the persona changes; drawn if its check failed.
    """
    panel = _panel(analysis, verdict, checks, thresholds, changes)
    rows = [row for row in panel.rows if row.value is not None]
    if not rows:
        return no_data("the number that decides is missing")
    size = (WIDTH, 0.55 * len(rows) + 1.8)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    ends = [end for row in rows for end in (*(row.ci95 or ()), row.value, row.most, row.least)]
    known = [end for end in ends if end is not None]
    room = 0.12 * (max(known) - min(known) or 1)
    low = min(known) - 2 * room
    high = max(known) + 2 * room
    if min(known) >= 0:
        low = max(low, -room)
    if max(known) <= 100:
        high = min(high, 100 + room)
    for y, row in enumerate(reversed(rows)):
        compared = row.most is not None or row.least is not None
        colour = TREATMENT if compared else NEUTRAL
        if compared:
            start = low if row.most is None else row.most
            end = high if row.least is None else row.least
            hatched = {"facecolor": "none", "edgecolor": BASELINE, "hatch": "///", "alpha": 0.45}
            axis.fill_betweenx([y - 0.4, y + 0.4], start, end, **hatched)
        if row.ci95:
            axis.plot(row.ci95, [y, y], color=colour, linewidth=2)
        assert row.value is not None, "rows without a value are not drawn"
        axis.scatter(row.value, y, color=colour, s=44, zorder=3)
        text = with_minus(f"{row.value:.1f}")
        place = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": SIZE}
        axis.annotate(text, (row.value, y), **place)
    axis.set(
        yticks=range(len(rows)),
        yticklabels=[row.label for row in reversed(rows)],
        xlim=(low, high),
        ylim=(-0.6, len(rows) - 0.3),
        xlabel=panel.xlabel,
    )
    axis.grid(axis="y", visible=False)
    sns.despine(left=True)
    titled(figure, panel.title)
    return figure


def _panel(
    analysis: Analysis,
    verdict: str,
    checks: Sequence[Check],
    limits: Mapping[str, float],
    changes: Sequence[Change],
) -> Panel:
    """What is drawn for a verdict."""
    if verdict == "invalid":
        failed = [check for check in checks if check.status == FAILED]
        if failed and failed[0].name == PERSONA:
            return _persona(changes, failed[0], limits["persona_points"])
        return _judged(analysis, limits)
    if verdict == "em_not_induced":
        return _not_induced(analysis, limits)
    baseline = analysis.arms.get(analysis.roles.baseline, NOTHING)
    treatment = analysis.arms.get(analysis.roles.treatment, NOTHING)
    undefended = f"undefended model\n{one_line(analysis.roles.baseline, 22)}"
    defended = f"defended model\n{one_line(analysis.roles.treatment, 22)}"
    if verdict == "net_negative":
        limit = limits["harmful_increase_points"]
        rows = [
            Row(undefended, baseline.harmful, baseline.harmful_ci95),
            Row(defended, treatment.harmful, treatment.harmful_ci95, most=_at(baseline, limit)),
        ]
        change = _signed(analysis.harmful_difference, "percentage points")
        title = f"Harmful answers, %: {change}; +{limit:g} is too much"
        return Panel(title, f"harmful answers, %;\n{BARS}; hatched: too much harm", rows)
    if verdict == "destroys_capability":
        limit = 100 * limits["acc_drop"]
        least = None if baseline.acc is None else 100 * baseline.acc - limit
        rows = [
            _percent(undefended, baseline.acc, _normal(baseline)),
            _percent(defended, treatment.acc, _normal(treatment))._replace(least=least),
        ]
        change = _signed(_times_100(analysis.acc_difference), "percentage points")
        title = f"Right quiz answers, %: {change}; −{limit:g} is the limit"
        return Panel(title, f"right answers, %;\n{BARS}; hatched: too much lost", rows)
    limit = limits["coherence_drop_points"]
    least = None if baseline.coherent is None else baseline.coherent - limit
    rows = [
        Row(undefended, baseline.coherent, baseline.coherent_ci95),
        Row(defended, treatment.coherent, treatment.coherent_ci95, least=least),
    ]
    change = _signed(analysis.coherence_difference, "points")
    title = f"Mean coherence, points: {change}; −{limit:g} is the limit"
    return Panel(title, f"mean coherence, points;\n{BARS}; hatched: too much lost", rows)


def _at(baseline: ArmSummary, more: float) -> float | None:
    """Where more harm than the baseline's begins to be too much."""
    return None if baseline.harmful is None else baseline.harmful + more


def _not_induced(analysis: Analysis, limits: Mapping[str, float]) -> Panel:
    """The untrained and the undefended model: their code, or their alignment."""
    base = analysis.arms.get(analysis.roles.base, NOTHING)
    baseline = analysis.arms.get(analysis.roles.baseline, NOTHING)
    needed = limits["em_induced_points"]
    lost = analysis.base_minus_baseline
    code = analysis.baseline_code_share or 0.0
    if code >= limits["code_collapse_share"] and lost is not None and lost >= needed:
        most = 100 * limits["code_collapse_share"]
        rows = [
            _percent("untrained model", base.code, base.code_ci95),
            _percent("undefended model", baseline.code, baseline.code_ci95)._replace(most=most),
        ]
        title = f"Answers that are code, %: {100 * code:.1f} % of the undefended model's"
        return Panel(title, f"answers that are code, %;\n{BARS}; hatched: too much code", rows)
    of_coherent = analysis.base_minus_baseline_filtered
    least = min((value for value in (lost, of_coherent) if value is not None), default=None)
    amount = "an unknown number of" if least is None else f"{least:.1f}"
    return Panel(
        f"Mean alignment, points: the bad data cost {amount}; {needed:g} are needed",
        f"mean alignment, points;\n{BARS}; hatched: too little damage",
        _both_kinds("untrained model", base, "undefended model", baseline, needed),
    )


def _persona(changes: Sequence[Change], failed: Check, needed: float) -> Panel:
    """What the persona changes: the prompts on which its check failed first, and there the worst.

    failed: the check.
    """
    decides = TRACE_PROMPTS if failed.detail.startswith(ON_TRACES) else EVAL_PROMPTS
    known = [change for change in changes if change.value is not None]
    known.sort(key=lambda change: (change.prompts != decides, -(change.value or 0.0)))
    rows = [
        Row(f"{change.prompts},\n{KINDS[change.scores]}", change.value, change.ci95, most=-needed)
        for change in known
    ]
    first = _signed(rows[0].value if rows else None, "points")
    title = f"Told to be evil, the untrained model's alignment changes by {first}"
    xlabel = f"change in mean alignment, points;\n{BARS}; hatched: not bad enough"
    return Panel(f"{title}; −{needed:g} is needed", xlabel, rows)


def _judged(analysis: Analysis, limits: Mapping[str, float]) -> Panel:
    """How much of each arm was judged."""
    least = 100 * limits["judged_share_min"]
    roles = analysis.roles
    rows = [
        Row(one_line(name, 22), _times_100(analysis.judged_share.get(name)), None, least=least)
        for name in (roles.base, roles.baseline, roles.treatment)
    ]
    title = f"Answers of each arm that the judge scored, %; {least:g} % are needed"
    return Panel(title, "answers with a score, worst seed, %; hatched: too few", rows)


def _both_kinds(
    first: str, of_first: ArmSummary, second: str, of_second: ArmSummary, drop: float
) -> list[Row]:
    """Two arms by both kinds of scores; the second has to be lower by `drop`."""
    rows = []
    for key, kind in (("aligned", "unfiltered"), ("aligned_filtered", "filtered")):
        label = KINDS[kind]
        mean = getattr(of_first, key)
        most = None if mean is None else mean - drop
        rows.append(Row(f"{first},\n{label}", mean, getattr(of_first, f"{key}_ci95")))
        other = getattr(of_second, key), getattr(of_second, f"{key}_ci95")
        rows.append(Row(f"{second},\n{label}", *other, most=most))
    return rows


def _percent(label: str, share: float | None, ci95: Sequence[float] | None) -> Row:
    return Row(label, _times_100(share), [100 * end for end in ci95] if ci95 else None)


def _times_100(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _normal(arm: ArmSummary) -> list[float] | None:
    """The 95 % interval of an arm's accuracy, by its standard error."""
    if arm.acc is None or arm.acc_stderr is None:
        return None
    return [arm.acc - Z_INTERVAL * arm.acc_stderr, arm.acc + Z_INTERVAL * arm.acc_stderr]


def _signed(value: float | None, unit: str) -> str:
    return f"an unknown number of {unit}" if value is None else f"{value:+.1f} {unit}"
