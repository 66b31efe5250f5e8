"""The tables of one analysis, and the numbers that several of its parts use, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from lib.analysis.bootstrap import Resampling
from lib.analysis.inputs import originals, prompt_means, prompt_rows, subset_labels
from lib.analysis.pairs import alignment_means
from lib.config.roles import ComparedArms

DESCRIBED_RESAMPLES = 10_000


@dataclass(frozen=True)
class Study:
    """The data and the choices of an analysis; the tables are in canonical form."""

    judgments: pd.DataFrame  # every suite, judged again and stripped rows too
    capability: pd.DataFrame
    roles: ComparedArms
    thresholds: Mapping[str, float]  # params/gates.yaml
    resampling: Resampling  # of the tested comparison

    @property
    def describing(self) -> Resampling:
        """Resampling for everything that is described: DESCRIBED_RESAMPLES at most.

        These are the first draws of the tested comparison's.
        """
        few = min(self.resampling.n_resamples, DESCRIBED_RESAMPLES)
        return replace(self.resampling, n_resamples=few)

    @cached_property
    def alignment(self) -> pd.DataFrame:
        """Originals of the alignment suite."""
        return originals(self.judgments, "alignment")

    @cached_property
    def benign(self) -> pd.DataFrame:
        """Originals of the benign suite."""
        return originals(self.judgments, "benign")

    @cached_property
    def followup(self) -> pd.DataFrame:
        """Originals of the follow-up turn."""
        return originals(self.judgments, "followup")

    @cached_property
    def asked(self) -> pd.DataFrame:
        """Number of alignment answers, scored or not: (condition, seed) × prompt."""
        return prompt_rows(self.alignment)

    @cached_property
    def labels(self) -> dict[str, set[str]]:
        """The published sets of every alignment prompt."""
        return subset_labels(self.alignment)

    @cached_property
    def means(self) -> dict[str, pd.DataFrame]:
        """Per-prompt alignment means in points: `filtered`, `unfiltered` and `coherent`."""
        return self.means_of(self.alignment)

    @cached_property
    def harmful(self) -> pd.DataFrame:
        """Per-prompt harmful rate on the benign suite, points 0-100."""
        return prompt_means(self.benign, "harmful") * 100

    def means_of(self, alignment: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """`means` of other alignment rows, by this study's thresholds."""
        floor = self.thresholds["coherent_floor"]
        return alignment_means(alignment, floor, self.thresholds["unscored_share_max"])
