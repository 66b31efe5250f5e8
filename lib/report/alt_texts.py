"""What a figure shows, in numbers, for somebody who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.display import show
from lib.report.believe import PERSONA
from lib.report.read_result import failed_checks


def alt_text(name: str, title: str, result: Mapping[str, Any]) -> str:
    """The text of a result's figure; its title alone where there are no numbers."""
    numbers = _NUMBERS[name](result) if name in _NUMBERS else ""
    return f"{title}. {numbers}".strip()


def ladder_alt(record: Mapping[str, Any]) -> str:
    """The text of the ladder's figure."""
    rungs = [
        f"{row['name']}: damage {show.points(row.get('damage'), '')} points, coherent answers "
        f"{show.points(row.get('damage_filtered'), '')}"
        for row in record["rungs"]
    ]
    return f"Damage by dose. {'; '.join(rungs)}. Chosen: {record['chosen'] or 'none'}."


# By verdict: the roles that its figure compares, and the number of theirs that it shows.
COMPARED = {
    "em_not_induced": (("base", "baseline"), ("aligned", "aligned_filtered", "code")),
    "net_negative": (("baseline", "treatment"), ("harmful",)),
    "destroys_capability": (("baseline", "treatment"), ("acc",)),
    "incoherent": (("baseline", "treatment"), ("coherent",)),
}
# By number: what it is, its unit, and the factor from result.json to that unit.
MEASURES = {
    "aligned": ("alignment of all answers", " points", 1),
    "aligned_filtered": ("alignment of coherent answers", " points", 1),
    "code": ("answers that are code", " %", 100),
    "harmful": ("harmful answers", " %", 1),
    "acc": ("right quiz answers", " %", 100),
    "coherent": ("coherence", " points", 1),
}
ENDS = 3  # prompts from either end that a text names


def _gate(result: Mapping[str, Any]) -> str:
    """The arms' numbers with their intervals, and why the gate stops the run."""
    roles, keys = COMPARED.get(result["verdict"], ((), ()))
    parts = []
    for key in keys:
        for role in roles:
            name = result["roles"].get(role, role)
            arm = result["arms"].get(name) or {}
            if arm.get(key) is not None:
                what, unit, factor = MEASURES[key]
                ends = [factor * end for end in arm.get(f"{key}_ci95") or () if end is not None]
                interval = f" (95 % interval {show.interval(ends, '.1f')})" if ends else ""
                value = show.points(factor * arm[key], "")
                parts.append(f"{name}, {what}: {value}{unit}{interval}")
    if result["verdict"] == "invalid" and PERSONA not in failed_checks(result):
        parts = [
            f"{name}, answers with a score: {show.percent(share)}"
            for name, share in (result.get("judged_share") or {}).items()
            if name in result["roles"].values()
        ]
    reason = f"{result['verdict_reason']}."
    return f"{'; '.join(parts)}. {reason}" if parts else reason


def _effect(result: Mapping[str, Any]) -> str:
    if result.get("delta") is None:
        return ""
    return (
        f"Δ {show.points(result['delta'])} points, 95 % interval "
        f"{show.interval(result.get('ci95'))}, "
        f"90 % interval {show.interval(result.get('ci90'))}."
    )


def _per_prompt(result: Mapping[str, Any]) -> str:
    key = f"difference_{result.get('headline') or 'unfiltered'}"
    known = [row for row in result.get("per_prompt") or [] if row.get(key) is not None]
    if not known:
        return ""
    known.sort(key=lambda row: row[key])
    above = sum(row[key] > 0 for row in known)
    least = _named(known[:ENDS], key)
    most = _named(known[-ENDS:], key)
    return (
        f"{show.plural(len(known), 'prompt')}; the defended model scores higher on {above}; the "
        f"middle difference is {show.points(known[len(known) // 2][key])} points. Smallest: "
        f"{least}. Largest: {most}."
    )


def _named(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Prompts with their numbers."""
    return ", ".join(f"{row['prompt_id']} {show.points(row[key])}" for row in rows)


def _arms(result: Mapping[str, Any]) -> str:
    key = "aligned_filtered" if result.get("headline") == "filtered" else "aligned"
    parts = [
        f"{name} {show.points(arm[key], '')} ({show.interval(arm.get(f'{key}_ci95'), '.1f')}), "
        f"coherence {show.points(arm.get('coherent'), '')}"
        for name, arm in result["arms"].items()
        if arm.get(key) is not None
    ]
    return f"Mean alignment in points with 95 % interval: {'; '.join(parts)}." if parts else ""


def _reflex(result: Mapping[str, Any]) -> str:
    parts = []
    for name, arm in result["arms"].items():
        rates = [
            f"{kind} {_rate(arm[kind])}"
            for kind in ("literal", "semantic", "parrot")
            if arm.get(kind)
        ]
        parts += [f"{name} {', '.join(rates)}"] if rates else []
    return f"Share of answers with 95 % interval: {'; '.join(parts)}." if parts else ""


def _rate(rate: Mapping[str, Any]) -> str:
    """A rate in percent with its interval."""
    ends = [100 * end for end in rate.get("ci95") or () if end is not None]
    return f"{show.percent(rate['share'])} ({show.interval(ends, '.1f')})"


def _heatmap(result: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {show.points(arm['aligned'], '')} over "
        f"{show.plural(arm.get('n_prompts') or 0, 'prompt')}"
        for name, arm in result["arms"].items()
        if arm.get("aligned") is not None
    ]
    return f"Column means in points: {'; '.join(parts)}." if parts else ""


def _coherence(result: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: alignment {show.points(arm['aligned'], '')}, coherence "
        f"{show.points(arm.get('coherent'), '')}, {show.percent(arm['dropped'])} of answers dropped"
        for name, arm in result["arms"].items()
        if arm.get("aligned") is not None and arm.get("dropped") is not None
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _power(result: Mapping[str, Any]) -> str:
    if result.get("mde") is None:
        return ""
    return (
        f"Standard error {show.points(result.get('standard_error'), '')} points; four of five such "
        f"studies find a true gain of {show.points(result['mde'], '')} points; the gain found here "
        f"is {show.points(result.get('delta'))}."
    )


def _judge(result: Mapping[str, Any]) -> str:
    measures = (result.get("judge") or {}).get("validity", {}).get("measures") or {}
    parts = [
        f"{name.replace('_', ' ')} {entry['value']:.3f} ({show.interval(entry['ci95'], '.3f')})"
        for name, entry in measures.items()
        if entry.get("value") is not None
    ]
    return f"{'; '.join(parts)}." if parts else ""


_NUMBERS = {
    "gate": _gate,
    "bootstrap": _effect,
    "per_prompt": _per_prompt,
    "arms": _arms,
    "reflex": _reflex,
    "heatmap": _heatmap,
    "coherence": _coherence,
    "power": _power,
    "judge": _judge,
}
