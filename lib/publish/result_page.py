"""The edition's page: verdict, gates, arms, figures, samples, card, ladder and attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.checks import attempts
from lib.display import html, show
from lib.publish import sample_choice
from lib.report import page, sections
from lib.report.ladder_table import ladder_sentence, ladder_table
from lib.report.page import Link, Navigation
from lib.report.read_result import read_gates

TITLES = {  # of figures, in the order of the page
    "per_prompt.png": "Both arms on every eval prompt, sorted by their difference",
    "arms.png": "Mean alignment of every arm, with 95 % intervals; described, not tested",
    "bootstrap.png": "The resampled Δ, with the gates' thresholds",
    "reflex.png": "Share of answers that reset; a parrot only says the words",
    "coherence.png": "Alignment against coherence, one dot per answer",
    "power.png": "What this design can find, by the true effect",
    "judge.png": "The judge against published scores",
    "heatmap.png": "Mean alignment of every arm on every prompt",
}


def page_of(
    result: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    figures: Sequence[str],
    known: Sequence[Mapping[str, Any]],
    ladder: Mapping[str, Any] | None,
    digest: str,
) -> str:
    """The whole page.

    Args:
        result: a result.json without places of a machine.
        samples: of `sample_choice.chosen`.
        figures: file names in figures/.
        known: the record of attempts.
        ladder: what the ladder wrote; None without one.
        digest: sha256 of the run's own result.json.
    """
    rows = [{key: row.get(key) for key in attempts.SHOWN} for row in known]
    body = html.render(
        "publish",
        result=result,
        tested=_tested(result),
        gates=show.gates_table(read_gates(result["gates"]), result["verdict"]),
        arms=sections.arms(dict(result)) if result["arms"] else "",
        weights=result.get("base_weights"),
        base=_base(result),
        figures=[(file, TITLES.get(file, file)) for file in sorted(figures, key=_place)],
        samples=samples,
        rule=sample_choice.RULE,
        ladder=ladder_sentence(ladder) if ladder else None,
        rungs=show.table(ladder_table(ladder)) if ladder else "",
        attempts=show.table(pd.DataFrame(rows)) if rows else "",
        digest=digest,
    )
    run_name = str(result["run"])
    navigation = Navigation(run_name, [Link("Result", "index.html")])
    return page.render(navigation, "index.html", "Result", body, page.contents_of(body))


def _base(result: Mapping[str, Any]) -> str | None:
    """The base and where its weights come from, as the card says it, or as WEIGHTS.txt alone."""
    fields = (result.get("card") or {}).get("fields") or {}
    return fields.get("base model") or (result.get("base_weights") or {}).get("origin")


def _place(file: str) -> int:
    """Where a figure stands on the page; one without a title comes last."""
    return list(TITLES).index(file) if file in TITLES else len(TITLES)


def _tested(result: Mapping[str, Any]) -> str | None:
    """The tested number with its interval, in one line; None without one."""
    if result["delta"] is None:
        return None
    return (
        f"Δ alignment {show.points(result['delta'])} points ({result['headline']} scores), "
        f"95 % interval {show.interval(result['ci95'])}, "
        f"one-sided p {show.number(result['p_value'], '.4f')}, "
        f"{show.plural(result['n_prompts'] or 0, 'prompt')}, "
        f"{show.plural(result['n_seeds'] or 0, 'seed')}."
    )
