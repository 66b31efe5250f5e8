"""The interval of a share of which no prompt, or every prompt, has a case.

Resampled prompts that are all alike do not vary. That is no certainty: of few prompts the share may
well be another one. The interval is then Clopper and Pearson's over prompts, since the answers to
one prompt are alike (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934).
"""

from __future__ import annotations

from collections.abc import Sequence

from lib.analysis.bootstrap import LEVEL

TAIL = LEVEL[0] / 100  # outside the interval on its open side


def of_alike(share: float, prompts: int) -> Sequence[float]:
    """Lower and upper end of a share of 0 or 1 over so many prompts, each of which has it."""
    reach = 1 - TAIL ** (1 / prompts)
    return (0.0, reach) if share == 0 else (1 - reach, 1.0)
