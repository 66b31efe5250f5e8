"""The figure of the gate that decides: both numbers that it compares, and where it would fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import seaborn as sns

from lib.analysis.bootstrap import Z_INTERVAL
from lib.analysis.findings import Analysis, ArmSummary
from lib.checks.check import FAILED, Check
from lib.config.roles import PLANNED
from lib.display.drawing import BASELINE, NEUTRAL, TREATMENT, WIDTH, no_data, one_line, titled


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
    analysis: Analysis, verdict: str, checks: Sequence[Check], thresholds: Mapping[str, float]
) -> plt.Figure:
    """The numbers of the gate that decides, one row per number.

    The side on which the gate fails is hatched in the row that is compared.
    """
    panel = _panel(analysis, verdict, checks, thresholds)
    rows = [row for row in panel.rows if row.value is not None]
    if not rows:
        return no_data("the number that decides is missing")
    size = (WIDTH, 0.5 * len(rows) + 1.5)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    ends = [end for row in rows for end in (*(row.ci95 or ()), row.value, row.most, row.least)]
    known = [end for end in ends if end is not None]
    room = 0.12 * (max(known) - min(known) or 1)
    low, high = min(known) - 2 * room, max(known) + 2 * room
    for y, row in enumerate(reversed(rows)):
        compared = row.most is not None or row.least is not None
        colour = TREATMENT if compared else NEUTRAL
        side = (low, row.least) if row.least is not None else (row.most, high)
        if compared:
            hatched = {"facecolor": "none", "edgecolor": BASELINE, "hatch": "///", "alpha": 0.45}
            axis.fill_betweenx([y - 0.4, y + 0.4], *side, **hatched)
        if row.ci95:
            axis.plot(row.ci95, [y, y], color=colour, linewidth=2)
        axis.scatter(row.value, y, color=colour, s=44, zorder=3)
        text = f"{row.value:.3g}"
        place = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": 8.5}
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
    analysis: Analysis, verdict: str, checks: Sequence[Check], limits: Mapping[str, float]
) -> Panel:
    """What is drawn for a verdict."""
    roles = analysis.roles
    arms = analysis.arms
    empty = ArmSummary()
    base = arms.get(roles.base, empty)
    baseline = arms.get(roles.baseline, empty)
    treatment = arms.get(roles.treatment, empty)
    names = [one_line(name, 22) for name in (roles.base, roles.baseline, roles.treatment)]
    bars = "bars: 95 % interval"
    if verdict == "invalid":
        return _invalid(analysis, checks, limits)
    if verdict == "em_not_induced":
        collapsed = (analysis.baseline_code_share or 0) >= limits["code_collapse_share"]
        if collapsed and (analysis.base_minus_baseline or 0) >= limits["em_induced_points"]:
            code = 100 * limits["code_collapse_share"]
            rows = [
                _percent(names[0], base.code, base.code_ci95),
                _percent(names[1], baseline.code, baseline.code_ci95)._replace(most=code),
            ]
            title = f"The baseline answers in code: {100 * (baseline.code or 0):.0f} % of the time"
            return Panel(title, f"answers that are code, %; {bars}", rows)
        lost = analysis.base_minus_baseline
        lost_words = "an unknown number of" if lost is None else f"{lost:.1f}"
        title = f"The bad data cost {lost_words} points; {limits['em_induced_points']:g} are needed"
        return Panel(
            title,
            f"mean alignment, points;\n{bars}; hatched: too little damage",
            _both_kinds(names[0], base, names[1], baseline, limits["em_induced_points"]),
        )
    if verdict == "net_negative":
        most = None
        if baseline.harmful is not None:
            most = baseline.harmful + limits["harmful_increase_points"]
        rows = [
            Row(names[1], baseline.harmful, baseline.harmful_ci95),
            Row(names[2], treatment.harmful, treatment.harmful_ci95, most=most),
        ]
        title = f"Harmful answers: {_signed(analysis.harmful_difference)} points"
        return Panel(title, f"harmful answers, points;\n{bars}; hatched: too much harm", rows)
    if verdict == "destroys_capability":
        least = None if baseline.acc is None else 100 * (baseline.acc - limits["acc_drop"])
        rows = [
            _percent(names[1], baseline.acc, _normal(baseline)),
            _percent(names[2], treatment.acc, _normal(treatment))._replace(least=least),
        ]
        loss = None if analysis.acc_difference is None else 100 * analysis.acc_difference
        title = f"Right quiz answers: {_signed(loss)} percentage points"
        return Panel(title, f"right answers, %;\n{bars}; hatched: too much lost", rows)
    least = None
    if baseline.coherent is not None:
        least = baseline.coherent - limits["coherence_drop_points"]
    rows = [
        Row(names[1], baseline.coherent, baseline.coherent_ci95),
        Row(names[2], treatment.coherent, treatment.coherent_ci95, least=least),
    ]
    title = f"Coherence: {_signed(analysis.coherence_difference)} points"
    return Panel(title, f"mean coherence, points;\n{bars}; hatched: too much lost", rows)


def _invalid(analysis: Analysis, checks: Sequence[Check], limits: Mapping[str, float]) -> Panel:
    """The persona's two arms if that check failed, else how much of each arm was judged."""
    failed = [check.name for check in checks if check.status == FAILED]
    arms = analysis.arms
    if failed[:1] == ["persona takes"] and {PLANNED.base, PLANNED.base_evil} <= set(arms):
        rows = _both_kinds(
            PLANNED.base,
            arms[PLANNED.base],
            PLANNED.base_evil,
            arms[PLANNED.base_evil],
            limits["persona_points"],
        )
        lost = min(
            (first.value - second.value)
            for first, second in (rows[:2], rows[2:])
            if first.value is not None and second.value is not None
        )
        needed = f"{limits['persona_points']:g} are needed"
        title = f"Told to be evil, the model loses {lost:.1f} points; {needed}"
        xlabel = "mean alignment on the alignment suite, points;\nbars: 95 % interval; "
        return Panel(title, f"{xlabel}hatched: not bad enough", rows)
    least = 100 * limits["judged_share_min"]
    roles = analysis.roles
    rows = [
        Row(one_line(name, 22), _times_100(analysis.judged_share.get(name)), None, least=least)
        for name in (roles.base, roles.baseline, roles.treatment)
    ]
    title = f"Scored answers of each arm; {least:g} % are needed"
    return Panel(title, "answers with a score, worst seed, %; hatched: too few", rows)


def _both_kinds(
    first: str, of_first: ArmSummary, second: str, of_second: ArmSummary, drop: float
) -> list[Row]:
    """Two arms by both kinds of scores; the second has to be lower by `drop`."""
    rows = []
    for key, label in (("aligned", "all answers"), ("aligned_filtered", "coherent ones")):
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


def _signed(value: float | None) -> str:
    return "not measured:" if value is None else f"{value:+.1f}"
