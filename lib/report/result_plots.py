"""The figures of one result, each saved under the name by which the report finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lib.analysis.decision import Decision
from lib.analysis.findings import Analysis
from lib.analysis.inputs import originals
from lib.checks.check import Check
from lib.checks.persona_changes import Change
from lib.display import drawing
from lib.report import (
    arm_plots,
    arm_words,
    effect_plots,
    gate_plot,
    prompt_plots,
    result_tables,
    score_plots,
)
from lib.report.figures import DECIDES


@dataclass(frozen=True)
class ResultPlots:
    """Draws the figures of a result and leaves each of them open, so that a notebook shows it."""

    folder: Path
    """Where the figures go: of `lib.report.result_files.new_figures`."""

    analysis: Analysis
    """The numbers of the result."""

    order: Sequence[str]
    """Every arm, in the order of the report."""

    thresholds: Mapping[str, float]
    """params/gates.yaml."""

    prompts: Mapping[str, str]
    """The text of each eval prompt by its id."""

    @property
    def kind(self) -> str:
        """The scores that are shown: those of the headline, unfiltered without one."""
        return self.analysis.headline or "unfiltered"

    @property
    def words(self) -> Mapping[str, str]:
        """The part of each arm in a word."""
        return arm_words.parts(self.analysis.roles)

    def gate(
        self, decision: Decision, checks: Sequence[Check], changes: Sequence[Change] = ()
    ) -> None:
        """The numbers of the gate that decides; nothing where another figure shows them.

        changes: what the persona changes.
        """
        if decision.verdict not in DECIDES:
            figure = gate_plot.gate(
                self.analysis, decision.verdict, checks, self.thresholds, changes
            )
            drawing.save(figure, self.folder, "gate")

    def per_prompt(self) -> None:
        """The paired difference on every eval prompt."""
        rows = pd.DataFrame(self.analysis.per_prompt)
        roles = self.analysis.roles
        figure = prompt_plots.differences(
            rows, self.prompts, roles.treatment, roles.baseline, self.kind
        )
        drawing.save(figure, self.folder, "per_prompt")

    def bootstrap(self) -> None:
        """The resampled Δ; nothing below two prompts."""
        analysis = self.analysis
        if analysis.resampled_histogram and analysis.delta is not None:
            figure = effect_plots.bootstrap(
                analysis.resampled_histogram, analysis.delta, analysis.ci95, self.thresholds
            )
            drawing.save(figure, self.folder, "bootstrap")

    def arms(self) -> None:
        """Mean alignment and coherence of every arm."""
        arms = self.analysis.arms
        over = result_tables.intervals_over(arms, self.thresholds["seeds_for_interval"])
        figure = arm_plots.arm_means(arms, self.kind, self.order, over, self.words)
        drawing.save(figure, self.folder, "arms")

    def reflex(self) -> None:
        """How often each arm resets."""
        subset = self.analysis.reflex_subset
        figure = arm_plots.reflex_rates(self.analysis.arms, self.order, subset, self.words)
        drawing.save(figure, self.folder, "reflex")

    def power(self) -> None:
        """What this design can find; nothing without a standard error."""
        analysis = self.analysis
        if analysis.standard_error and analysis.delta is not None:
            figure = effect_plots.power_curve(
                analysis.standard_error, analysis.delta, self.thresholds
            )
            drawing.save(figure, self.folder, "power")

    def coherence(self, judgments: pd.DataFrame) -> None:
        """Alignment against coherence of every scored answer."""
        rows = originals(judgments, "alignment")
        scored = rows[rows["outcome"] == "scored"].astype({"aligned": float, "coherent": float})
        floor = self.thresholds["coherent_floor"]
        figure = score_plots.scatter_alignment_coherence(scored, floor, self.order, self.words)
        drawing.save(figure, self.folder, "coherence")

    def heatmap(self, judgments: pd.DataFrame) -> None:
        """Mean alignment by prompt and arm."""
        means = result_tables.prompt_by_condition(judgments, self.order)
        figure = prompt_plots.heatmap(means, self.prompts, self.words)
        drawing.save(figure, self.folder, "heatmap")

    def judge(self, judge: Mapping[str, Any] | None) -> None:
        """The judge against published scores; nothing if that was not measured.

        judge: of `lib.report.judge_facts.judge_facts`, None for judgments from elsewhere.
        """
        if not judge or not judge["validity"]["figure"]:
            return
        validity = judge["validity"]
        auroc = validity["measures"]["auroc_aligned_lt_30"]
        figure = score_plots.judge_validity(validity["figure"], auroc, judge["judge"])
        drawing.save(figure, self.folder, "judge")
