"""Rates that were measured, for projecting a run that has no predecessor (docs/benchmarks.md).

Each is used only for the profile that it was measured with. Anything else is not known.
"""

from __future__ import annotations

from lib.config.experiment import Experiment
from lib.run.plan import SAMPLE, TRACES

SOURCE = "docs/benchmarks.md"
# Seconds of a whole notebook, by profile: with the profile's own counts and one seed.
NOTEBOOKS = {
    "demo": {
        TRACES: 53,
        "02_phase1_sft": 137,
        "03_phase2_em": 176,
        SAMPLE: 271,
        "05_judge": 10,
        "06_stats_and_gates": 9,
    },
    "smollm2_gpu": {
        TRACES: 380,
        "02_phase1_sft": 119,
        "03_phase2_em": 395,
        SAMPLE: 434,
        "06_stats_and_gates": 18,
    },
}
# Qwen2.5-7B's shape on one H100.
SHAPE_7B = "qwen7b"
MINUTES_PER_ARM = 1.9  # Phase 2 of `ROWS` rows
ROWS = 6000
TOKENS_PER_SECOND = 24_271  # sampling with five adapters
START_SECONDS = 101  # of the engine


def seconds(
    experiment: Experiment, notebook: str, longest_tokens: int | None
) -> tuple[float, str] | None:
    """Seconds of a whole notebook, all arms and seeds together, and what they are based on.

    Args:
        experiment: profile and arms.
        notebook: its name.
        longest_tokens: tokens of all answers of notebook 04, each at its longest; None if unknown.

    Returns None if nothing was measured.
    """
    profile = experiment.profile
    n_seeds = len(profile.seeds)
    whole = NOTEBOOKS.get(profile.profile, {}).get(notebook)
    if whole is not None:
        times = n_seeds if notebook[:2] in ("02", "03", "04") else 1
        return float(whole * times), f"{SOURCE}, with this profile's own counts"
    if profile.profile != SHAPE_7B:
        return None
    if notebook == "03_phase2_em":
        rows = profile.phase2.rows * profile.phase2.epochs * len(experiment.phase2_arms())
        basis = f"{SOURCE}, {MINUTES_PER_ARM} min for {ROWS:,} rows; start-up not included"
        return 60 * MINUTES_PER_ARM * rows / ROWS * n_seeds, basis
    if notebook == SAMPLE and longest_tokens is not None:
        starts = START_SECONDS * n_seeds * (2 if profile.stop_at_gate1 else 1)
        basis = (
            f"{SOURCE}, {TOKENS_PER_SECOND:,} tokens/s and {START_SECONDS} s for a start, every "
            "answer at its longest; comparison with the training stack and capability not included"
        )
        return longest_tokens / TOKENS_PER_SECOND + starts, basis
    return None
