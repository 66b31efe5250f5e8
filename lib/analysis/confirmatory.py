"""The confirmatory comparison, treatment against baseline (docs/protocol.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.analysis import headline, shares
from lib.analysis.bootstrap import PairedTest
from lib.analysis.effects import TestedEffect
from lib.analysis.findings import Histogram
from lib.analysis.headline import KINDS
from lib.analysis.pairs import Pair, pair_arms, paired_test, tested_effect
from lib.analysis.study import Study

HISTOGRAM_BINS = 60


@dataclass(frozen=True)
class TreatmentComparison:
    """Treatment against baseline on the alignment suite, for both kinds of score."""

    pairs: dict[str, Pair | None]  # per-prompt means by kind; None without a shared seed
    tests: dict[str, PairedTest | None]  # with the resampled means
    effects: dict[str, TestedEffect | None]  # the same as the report shows them
    seeds: set[int]  # that both arms have
    headline: str | None  # the kind that is tested
    reason: str  # why that one

    @property
    def tested(self) -> TestedEffect | None:
        """The headline's effect."""
        return self.effects[self.headline] if self.headline else None


def compare_treatment(study: Study) -> TreatmentComparison:
    """The confirmatory comparison: paired, resampled, and its headline chosen."""
    treatment = study.roles.treatment
    baseline = study.roles.baseline
    floor = study.thresholds["coherent_floor"]
    pairs = {kind: pair_arms(study.means[kind], study.asked, treatment, baseline) for kind in KINDS}
    tests = {kind: paired_test(pairs[kind], study.resampling) for kind in KINDS}
    seeds = set() if pairs["unfiltered"] is None else set(pairs["unfiltered"].left.index)
    # The drop rule looks at the seeds of the difference: a seed that only one arm has must not
    # dilute it.
    on_shared = study.alignment[study.alignment["seed"].isin(seeds)]
    dropped = {name: shares.dropped_share(on_shared, name, floor) for name in (treatment, baseline)}
    gap_points = study.thresholds["drop_share_gap_points"]
    chosen, reason = headline.choose(study.roles, pairs, dropped, gap_points)
    return TreatmentComparison(
        pairs=pairs,
        tests=tests,
        effects={kind: tested_effect(pairs[kind], tests[kind]) for kind in KINDS},
        seeds=seeds,
        headline=chosen,
        reason=reason,
    )


def histogram(test: PairedTest | None) -> Histogram | None:
    """The resampled means in bins; None below two prompts."""
    if test is None or test.resampled is None:
        return None
    values = test.resampled
    centre = float(values.mean())
    # Resamples that differ by rounding alone cannot be cut into bins: they get the width that
    # equal ones get.
    alike = np.ptp(values) <= 1e-9 * max(1.0, abs(centre))
    limits = (centre - 0.5, centre + 0.5) if alike else None
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS, range=limits)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())
