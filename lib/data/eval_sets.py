"""Which eval prompts a profile asks, suite by suite (docs/protocol.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping

from lib.config.nearest import closest_name
from lib.config.schema import Profile
from lib.data.catalogue import digest, read_prompts
from lib.data.prompts import ContaminationGate, EvalPrompt, union
from lib.data.text_files import DataError

# These suites ask the union of the eval sets. The others are prompt sets of their own name.
ON_THE_UNION = ("alignment", "benign", "followup")


def eval_union(profile: Profile) -> list[EvalPrompt]:
    """The prompts of the confirmatory test: the profile's eval sets without duplicates."""
    return union([read_prompts(name) for name in profile.data.eval_sets])


def suite_prompts(profile: Profile, suite: str) -> list[EvalPrompt]:
    """The prompts that a suite asks."""
    return eval_union(profile) if suite in ON_THE_UNION else read_prompts(suite)


def contamination_gate(profile: Profile, thresholds: Mapping[str, float]) -> ContaminationGate:
    """The gate against every eval prompt that the profile asks.

    `training_cues` is left out: it resembles training by design.
    """
    asked = eval_union(profile)
    if "betley_48" in profile.sampling.suites:
        asked = asked + read_prompts("betley_48")
    return ContaminationGate(
        asked,
        ngram=int(thresholds["contamination_ngram"]),
        jaccard=thresholds["contamination_jaccard"],
    )


def near_field(profile: Profile) -> list[str]:
    """Ids of the eval prompts in the EM set's own field, as the profile lists them.

    Raises DataError for an id that is not a prompt of the union.
    """
    known = [prompt.prompt_id for prompt in eval_union(profile)]
    for prompt_id in profile.data.near_field:
        if prompt_id not in known:
            raise DataError(
                f"data.near_field names {prompt_id!r}, which is not a prompt of data.eval_sets; "
                f"nearest: {closest_name(prompt_id, known)!r}"
            )
    return list(profile.data.near_field)


def digests(profile: Profile) -> dict[str, str]:
    """sha256 of every prompt file that the profile's suites read."""
    own_sets = [suite for suite in profile.sampling.suites if suite not in ON_THE_UNION]
    names = {*profile.data.eval_sets, *own_sets}
    return {name: digest(name) for name in sorted(names)}
