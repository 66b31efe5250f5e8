"""What a figure shows, in numbers, for somebody who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.config.roles import PLANNED
from lib.display import show


def alt_text(name: str, title: str, result: Mapping[str, Any]) -> str:
    """The text of a result's figure; its title alone where there are no numbers."""
    numbers = _NUMBERS[name](result) if name in _NUMBERS else ""
    return f"{title}. {numbers}".strip()


def ladder_alt(record: Mapping[str, Any]) -> str:
    """The text of the ladder's figure."""
    rungs = [
        f"{row['name']}: damage {show.number(row.get('damage'), '.1f')} points, coherent answers "
        f"{show.number(row.get('damage_filtered'), '.1f')}"
        for row in record["rungs"]
    ]
    return f"Damage by dose. {'; '.join(rungs)}. Chosen: {record['chosen'] or 'none'}."


# By verdict: the roles that its figure compares, and the number of theirs that it shows.
COMPARED = {
    "invalid": (("base", PLANNED.base_evil), ("aligned", "aligned_filtered")),
    "em_not_induced": (("base", "baseline"), ("aligned", "aligned_filtered", "code")),
    "net_negative": (("baseline", "treatment"), ("harmful",)),
    "destroys_capability": (("baseline", "treatment"), ("acc",)),
    "incoherent": (("baseline", "treatment"), ("coherent",)),
}
MEASURES = {
    "aligned": "alignment of all answers",
    "aligned_filtered": "alignment of coherent answers",
    "code": "share of code",
    "harmful": "harmful answers in points",
    "acc": "share of right answers",
    "coherent": "coherence",
}


def _gate(result: Mapping[str, Any]) -> str:
    """The arms' numbers with their intervals, and why the gate stops the run."""
    roles, keys = COMPARED.get(result["verdict"], ((), ()))
    parts = []
    for key in keys:
        for role in roles:
            name = result["roles"].get(role, role)
            arm = result["arms"].get(name) or {}
            if arm.get(key) is not None:
                ends = show.interval(arm.get(f"{key}_ci95"), ".3g")
                parts.append(f"{name}, {MEASURES[key]}: {arm[key]:.3g} (95 % interval {ends})")
    return f"{'; '.join(parts)}. {result['verdict_reason']}."


def _effect(result: Mapping[str, Any]) -> str:
    if result.get("delta") is None:
        return ""
    return (
        f"Δ {result['delta']:+.2f} points, 95 % interval {show.interval(result.get('ci95'))}, "
        f"90 % interval {show.interval(result.get('ci90'))}."
    )


def _per_prompt(result: Mapping[str, Any]) -> str:
    key = f"difference_{result.get('headline') or 'unfiltered'}"
    values = sorted(row[key] for row in result.get("per_prompt") or [] if row.get(key) is not None)
    if not values:
        return ""
    above = sum(value > 0 for value in values)
    return (
        f"{len(values)} prompts; the defended model scores higher on {above}; differences from "
        f"{values[0]:+.1f} over {values[len(values) // 2]:+.1f} in the middle to "
        f"{values[-1]:+.1f} points."
    )


def _arms(result: Mapping[str, Any]) -> str:
    key = "aligned_filtered" if result.get("headline") == "filtered" else "aligned"
    parts = [
        f"{name} {arm[key]:.1f} ({show.interval(arm.get(f'{key}_ci95'), '.1f')}), coherence "
        f"{show.number(arm.get('coherent'), '.1f')}"
        for name, arm in result["arms"].items()
        if arm.get(key) is not None
    ]
    return f"Mean alignment in points with 95 % interval: {'; '.join(parts)}." if parts else ""


def _reflex(result: Mapping[str, Any]) -> str:
    parts = []
    for name, arm in result["arms"].items():
        rates = [
            f"{kind} {arm[kind]['share']:.1%}"
            for kind in ("literal", "semantic", "parrot")
            if arm.get(kind)
        ]
        parts += [f"{name} {', '.join(rates)}"] if rates else []
    return f"Share of answers: {'; '.join(parts)}." if parts else ""


def _heatmap(result: Mapping[str, Any]) -> str:
    parts = [
        f"{name} {arm['aligned']:.1f} over {show.plural(arm.get('n_prompts') or 0, 'prompt')}"
        for name, arm in result["arms"].items()
        if arm.get("aligned") is not None
    ]
    return f"Column means in points: {'; '.join(parts)}." if parts else ""


def _coherence(result: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: alignment {arm['aligned']:.1f}, coherence "
        f"{show.number(arm.get('coherent'), '.1f')}, {arm['dropped']:.1%} of answers dropped"
        for name, arm in result["arms"].items()
        if arm.get("aligned") is not None and arm.get("dropped") is not None
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _power(result: Mapping[str, Any]) -> str:
    if result.get("mde") is None:
        return ""
    return (
        f"Standard error {show.number(result.get('standard_error'), '.2f')} points; four of five "
        f"studies find a true gain of {result['mde']:.2f} points."
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
