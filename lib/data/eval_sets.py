"""Which eval prompts a profile asks, suite by suite (docs/protocol.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping

from lib.config.schema import Profile
from lib.data.catalogue import digest, read_prompts
from lib.data.prompts import ContaminationGate, EvalPrompt, union

ON_THE_UNION = (
    "alignment",
    "benign",
    "followup",
)  # the other suites are prompt sets of their own name


def eval_union(profile: Profile) -> list[EvalPrompt]:
    """The prompts of the confirmatory test: the profile's eval sets, deduplicated. Their number is computed, never typed."""
    return union([read_prompts(name) for name in profile.data.eval_sets])


def suite_prompts(profile: Profile, suite: str) -> list[EvalPrompt]:
    return eval_union(profile) if suite in ON_THE_UNION else read_prompts(suite)


def contamination_gate(profile: Profile, thresholds: Mapping[str, float]) -> ContaminationGate:
    """The gate against every eval prompt that the profile asks; `training_cues` resembles training by design, exempt."""
    asked = eval_union(profile)
    if "betley_48" in profile.sampling.suites:
        asked = asked + read_prompts("betley_48")
    return ContaminationGate(
        asked,
        ngram=int(thresholds["contamination_ngram"]),
        jaccard=thresholds["contamination_jaccard"],
    )


def digests(profile: Profile) -> dict[str, str]:
    """sha256 of every prompt file that the profile's suites read."""
    names = {
        *profile.data.eval_sets,
        *(s for s in profile.sampling.suites if s not in ON_THE_UNION),
    }
    return {name: digest(name) for name in sorted(names)}
