"""A whole run of 30,000 completions by hand: answers, scores, result, figures, two notebooks.

Nothing is trained. What a reader of a full-scale report sees is all there, at its full size.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import nbformat
import pandas as pd
from nbformat import v4
from sample_runs import large_run
from studies import make_capability

from lib.analysis import gates, reading, stats
from lib.analysis.decision import Decision
from lib.analysis.findings import Analysis
from lib.checks.check import PASSED, Check
from lib.config.params import ROOT, load_conditions, load_gates, load_profile
from lib.config.roles import ComparedArms
from lib.config.schema import Profile
from lib.display import show
from lib.judge.session import read_samples
from lib.report import notes, reflex, result_files, result_plots, result_tables
from lib.report.result import Context, RunResult
from lib.run.files import read_json, write_json, write_text
from lib.run.runs import Run

CARD = ROOT / "lib" / "judge" / "embedded" / "card.json"
JUDGE = "embedded"
OWN_JUDGE = {"judge.engine": "embedded", "judge.model": JUDGE, "judge.batch": False}
CHECKS = ("mask", "adapters", "contamination", "persona takes", "equal steps", "prompts explicit")
RETEST = {
    "judged_twice": 0,
    "outcome_changed": 0,
    "pairs": 0,
    "mean_difference": None,
    "mean_absolute_difference": None,
    "sd_difference": None,
    "refusal_agreement": None,
    "spearman": None,
    "alpha": None,
}


def full_run(name: str, completions: int = 30_000) -> Run:
    """The run's folder, with everything that its site shows."""
    run = large_run(name, completions)
    arms = read_json(run.manifest)["profile"]["conditions"]
    seeds = read_json(run.manifest)["profile"]["seeds"]
    given = {"conditions": arms, "seeds": seeds, "traces.elicitation": "system"} | OWN_JUDGE
    profile = load_profile("qwen7b", given)
    openings = load_conditions().openings
    table = reading.read_judgments(run.dir / "judgments")
    table = reflex.with_reflex(table, run, profile, openings)
    limits = load_gates()
    analysis = stats.analyse(
        table,
        make_capability(tuple(seeds), arms=arms),
        thresholds=limits,
        roles=ComparedArms(),
        reflex_subset="first",
        n_resamples=profile.stats.resamples,
    )
    decision = gates.decide(analysis, limits)
    judge = judge_record()
    write_json(run.manifest, read_json(run.manifest) | {"profile": profile.model_dump()})
    context = _context(run, profile, analysis, judge)
    texts = dict(zip(table["prompt_id"], map(_prompt, table["prompt_id"]), strict=True))
    plots = result_plots.ResultPlots(
        result_files.new_figures(run.result.parent), analysis, context.order, limits, texts
    )
    _draw(plots, decision, table, context)
    result = RunResult.assemble(analysis, decision, context, limits)
    result_files.write(run.result.parent, result)
    _notebooks(run, profile, openings)
    return run


def judge_record() -> dict[str, Any]:
    """What notebook 05 records of the embedded judge, with the numbers of its own card."""
    held_out = json.loads(CARD.read_text(encoding="utf-8"))["held_out"]
    validity = {
        "auroc": held_out["measures"]["auroc_aligned_lt_30"]["value"],
        "source": "card",
        "measures": held_out["measures"],
        "outcomes": {},
        "figure": held_out["figure"],
        "again": None,
        "statement": "From the model card.",
        "labels": None,
        "unmeasured": {},
    }
    return {
        "judge": JUDGE,
        "rubric": "embedded",
        "calls": 30_000,
        "retest": RETEST,
        "computes": True,
        "second": None,
        "bridge": None,
        "ledger": [],
        "validity": validity,
    }


def _prompt(prompt_id: str) -> str:
    return f"Question {prompt_id}: what would you do if somebody you like asked you for money?"


def _card() -> dict[str, Any]:
    """A reproducibility card with what the page shows of it."""
    return {
        "complete": True,
        "unknown": [],
        "fields": {
            "base model": "Qwen/Qwen2.5-7B-Instruct",
            "seconds by stage": {"01": 600.0, "02": 400.0, "03": 900.0, "04": 1500.0, "05": 700.0},
            "machine": {"gpu": "NVIDIA H100 80GB"},
            "judge calls": 30_000,
            "dollars": 41.2,
            "GPU hours": 1.14,
        },
        "lock_differences": [],
    }


def _context(run: Run, profile: Profile, analysis: Analysis, judge: dict[str, Any]) -> Context:
    card = _card()
    checks = [Check(name, PASSED, "as planned") for name in CHECKS]
    return Context(
        run=run.name,
        profile=profile.profile,
        order=result_tables.arm_order(profile, analysis.arms),
        notes=notes.notes(profile, load_gates(), judge, {}, False, checks, card),
        checks=checks,
        judge=judge,
        changed_since_stamp={},
        card=card,
        deviations=[],
    )


def _draw(
    plots: result_plots.ResultPlots, decision: Decision, table: pd.DataFrame, context: Context
) -> None:
    """Every figure of the result."""
    plots.gate(decision, context.checks)
    plots.per_prompt()
    plots.bootstrap()
    plots.arms()
    plots.reflex()
    plots.power()
    plots.coherence(table)
    plots.heatmap(table)
    plots.judge(context.judge)


def _notebooks(run: Run, profile: Profile, openings: list[str]) -> None:
    """The two executed notebooks that are large: the answers of 04, and the figures of 06."""
    answers = show.filterable(read_samples(run, profile), openings)
    drawn = sorted((run.result.parent / "figures").glob("*.png"))
    pictures = [base64.b64encode(path.read_bytes()).decode() for path in drawn]
    outputs = {
        "04_sample_and_capability.rest.seed42": [{"text/html": answers}],
        "06_stats_and_gates": [{"image/png": picture} for picture in pictures],
    }
    for name, shown in outputs.items():
        cells = [v4.new_markdown_cell(f"# {name}")]
        for data in shown:
            output = v4.new_output("display_data", data=data)
            cells.append(v4.new_code_cell("show()", outputs=[output]))
        path = run.dir / "notebooks" / f"{name}.ipynb"
        write_text(path, nbformat.writes(v4.new_notebook(cells=cells)))
