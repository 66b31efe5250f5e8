"""Stage facts: written by name, read by name, and read from manifests of earlier versions."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lib.run import runs
from lib.run.facts import CopiedFacts, Phase1Facts, Phase2Facts, SamplingFacts, TraceFacts
from lib.run.files import sha256, write_text
from lib.run.judging_facts import SecondJudgeFacts, SessionFacts, ValidityFacts

TRAINING = [
    "optimizer_steps",
    "trained_tokens",
    "total_tokens",
    "losses",
    "turn_losses",
    "seconds",
    "resumed_at",
    "peak_memory_gib",
    "token_budget",
    "gradient_checkpointing",
    "join_difference",
    "join_bound",
    "join_weight_difference",
    "phase1_effect",
    "tokens_per_second",
    "rows",
    "rows_proven",
    "tokens_expected",
]
JUDGING = ["judge", "rubric", "calls", "cost_usd", "to_retry"]
KEYS = {  # of a manifest's `facts`; they are an interface, since older runs have them
    TraceFacts: [
        "trained_tokens",
        "offenders_left",
        "report",
        "recovery_rule",
        "em_offences",
        "counts",
    ],
    Phase1Facts: TRAINING,
    Phase2Facts: [*TRAINING, "set", "mode", "offences", "offenders_left"],
    CopiedFacts: ["set"],
    SessionFacts: [*JUDGING, "ledger", "computes", "retest"],
    ValidityFacts: [*JUDGING, "validity"],
    SecondJudgeFacts: [
        *JUDGING,
        "session",
        "judged_twice",
        "outcome_changed",
        "pairs",
        "mean_absolute_difference",
        "mean_difference",
        "sd_difference",
        "spearman",
        "alpha",
        "refusal_agreement",
        "outcomes",
        "arms",
    ],
}
ENGINE = {
    "engine": "vllm",
    "version": "0.26.0",
    "dtype": "bfloat16",
    "device": "H100",
    "batch_invariant": False,
}


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.__name__)
def test_the_keys_of_a_manifest_stay(kind):
    values = {key: f"value of {key}" for key in KEYS[kind]}
    assert kind.from_manifest(values).to_manifest() == values


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.__name__)
def test_an_old_manifest_with_fewer_or_other_keys_is_read(kind):
    old = kind.from_manifest({"a key of another version": 1})
    assert set(dataclasses.asdict(old).values()) == {None}


def test_the_engines_own_facts_stand_beside_the_others():
    sampled = SamplingFacts(ENGINE, {"rms": 0.1}, None, ["alignment"])
    manifest = sampled.to_manifest()
    assert manifest == {**ENGINE, "parity": {"rms": 0.1}, "decoding": None, "suites": ["alignment"]}
    assert SamplingFacts.from_manifest(manifest) == sampled and sampled.engine == "vllm"
    assert SamplingFacts.from_manifest(ENGINE) == SamplingFacts(ENGINE, None, None, None)


def test_facts_cannot_be_changed_and_none_may_be_left_out():
    with pytest.raises(TypeError, match="decoding"):
        SamplingFacts(sampler=ENGINE, parity=None, suites=[])
    with pytest.raises(dataclasses.FrozenInstanceError):
        CopiedFacts().set = "x"


def test_a_stage_of_an_earlier_version_is_finished_and_read(tmp_path, monkeypatch):
    """The manifest as a version that knew no classes of facts wrote it."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = runs.Run("r")
    inputs = {"seed": 42, "phase1": {"rank": 4}}
    write_text(run.dir / "out", "content")
    manifest = {
        "fingerprint": "0aa3479eb2bb75384f12a46c686246de087ad4ae3382ccd5762699159d1fb922",
        "inputs": inputs,
        "outputs": {"out": sha256(run.dir / "out")},
        "facts": {"rows": 8, "rows_proven": 8},
        "finished": "2026-11-26T12:00:00+00:00",
        "seconds": 1.0,
    }
    path = tmp_path / "r" / "manifests" / "02_phase1_sft.selfcorrect.seed42.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    stage = run.stage(path.stem, inputs)
    assert stage.done()
    assert stage.facts(Phase1Facts).rows_proven == 8
    assert stage.facts(Phase1Facts).tokens_expected is None
    assert run.facts(path.stem, Phase1Facts) == stage.facts(Phase1Facts)
    assert run.facts("03_phase2_em.base.seed42", Phase2Facts) is None
