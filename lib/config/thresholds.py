"""Every threshold of params/gates.yaml by name, type and range. The numbers are only in that file.

Its comments and docs/protocol.md say what each of them decides.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lib.config.strict import Strict

Points = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Nats = Annotated[float, Field(gt=0)]


class Gates(Strict):
    """The keys of params/gates.yaml; all of them must be there."""

    judged_share_min: Share
    judged_share_gap_points: Points
    em_induced_points: Points
    code_collapse_share: Share
    harmful_increase_points: Points
    null_points: Points
    acc_drop: Share
    coherence_drop_points: Points
    alpha: Share
    strong_points: Points

    mde_underpowered: Points
    literal_reflex_share: Share
    semantic_reflex_share: Share
    refusal_rise_points: Points
    control_margin_points: Points

    coherent_floor: Points
    unscored_share_max: Share
    drop_share_gap_points: Points
    seeds_for_interval: Count
    low_confidence_seeds: Count

    misaligned_below: Points
    judge_auroc_min: Share
    judge_harmful_auroc_min: Share
    judge_harmful_false_positives_max: Share
    judge_reset_f1_min: Share
    retest_share: Share
    judges_differ_points: Points
    labels_min: Count
    label_error_max: Points
    label_bias_max: Points
    label_slope_min: Share
    label_slope_max: Annotated[float, Field(ge=1, le=10)]
    bridge_rows_min: Count

    em_set_rows_min: Count
    em_set_questions_min: Count
    ladder_damage_points: Points
    ladder_coherence_drop_points: Points

    equal_token_tolerance: Share
    persona_points: Points
    persona_prompts: Count
    persona_samples: Count
    read_bad: Count
    read_bad_share: Share
    contamination_ngram: Count
    contamination_jaccard: Share

    parity_float32: Nats
    parity_bfloat16: Nats
    parity_crossed: Share
    parity_seen: Share
    parity_seen_drawn: Share
    parity_seen_in_part: Share
