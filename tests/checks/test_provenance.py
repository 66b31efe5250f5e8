"""The chain from recipe to judgment.

There is one recipe, the samples are of the adapter on disk, and every sample has a judgment.
"""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from lib.checks import provenance
from lib.checks.check import FAILED, NOT_RUN, PASSED
from lib.config import params
from lib.run.files import sha256, write_json, write_parquet, write_text
from lib.run.records import read_record, write_record
from lib.run.runs import Run

PROFILE = params.load_profile("smoke", {"conditions": ["base", "selfcorrect_em"]})
ARMS = PROFILE.conditions
TRAINING = "03_phase2_em.selfcorrect_em.seed42"


class Made:
    """A run of two arms with consistent records; its methods plant one violation each."""

    def __init__(self, run: Run):
        self.run = run
        recipe = {
            part: getattr(PROFILE, part).model_dump(mode="json")
            for part in ("phase1", "phase2", "model")
        }
        write_text(run.serve("selfcorrect_em", 42) / "adapter_model.safetensors", "weights")
        self.record(
            "02_phase1_sft.selfcorrect.seed42",
            {"phase1": recipe["phase1"], "model": recipe["model"], "base": "b"},
        )
        self.record(TRAINING, {"phase2": recipe["phase2"], "model": recipe["model"], "base": "b"})
        for arm in ARMS:
            rows = [
                {"suite": "alignment", "prompt_id": f"p{i}", "sample_index": k, "completion": arm}
                for i, k in itertools.product(range(3), range(2))
            ]
            write_parquet(run.samples(arm, 42), pd.DataFrame(rows))
            served = run.serve(arm, 42) / "adapter_model.safetensors"
            write_parquet(run.judgments(arm, 42), self.judged(arm))
            self.record(
                f"04_sample_and_capability.{arm}.seed42",
                {"adapter": sha256(served) if served.exists() else None},
                [run.samples(arm, 42)],
            )
        self.record(
            "05_judge",
            {"samples": {f"{arm}/seed42": sha256(run.samples(arm, 42)) for arm in ARMS}},
            [run.judgments(arm, 42) for arm in ARMS],
        )

    def record(self, stage, inputs, outputs=()):
        write_json(
            self.run.dir / "manifests" / f"{stage}.json",
            {
                "inputs": inputs,
                "outputs": {str(p.relative_to(self.run.dir)): sha256(p) for p in outputs},
            },
        )

    def change(self, stage, **inputs):
        path = self.run.dir / "manifests" / f"{stage}.json"
        record = read_record(path)
        write_record(path, record | {"inputs": record["inputs"] | inputs})

    def judged(self, arm):
        return (
            pd.read_parquet(self.run.samples(arm, 42))
            .assign(replicate=0, variant="full")
            .drop(columns="completion")
        )

    def table(self):
        return pd.concat(
            [self.judged(arm).assign(seed=42, condition=arm) for arm in ARMS], ignore_index=True
        )


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Made(Run("r"))


def test_an_untouched_run_passes(made):
    assert provenance.chain(made.run, PROFILE).status == PASSED
    assert provenance.complete(made.run, PROFILE, made.table()).status == PASSED


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda m: m.change(
                TRAINING, phase2={**PROFILE.phase2.model_dump(mode="json"), "learning_rate": 1e-4}
            ),
            "another phase2",
        ),
        (
            lambda m: m.change("02_phase1_sft.selfcorrect.seed42", phase1={"rank": 2}),
            "another phase1 recipe",
        ),
        (lambda m: m.change(TRAINING, base="other"), "2 different bases"),
        (
            lambda m: write_text(
                m.run.serve("selfcorrect_em", 42) / "adapter_model.safetensors", "retrained"
            ),
            "another adapter",
        ),
        (
            lambda m: write_parquet(
                m.run.samples("base", 42), pd.DataFrame({"completion": ["new"]})
            ),
            "judged on other samples",
        ),
        (
            lambda m: (m.run.serve("selfcorrect_em", 42) / "adapter_model.safetensors").unlink(),
            "is not in the run; copy adapters/seed42/selfcorrect_em/serve/"
            "adapter_model.safetensors there",
        ),
        (
            lambda m: write_text(
                m.run.serve("base", 42) / "adapter_model.safetensors", "an adapter of no arm"
            ),
            "another adapter",
        ),
    ],
)
def test_a_broken_chain_fails(made, spoil, words):
    spoil(made)
    check = provenance.chain(made.run, PROFILE)
    assert check.status == FAILED and words in check.detail


@pytest.mark.parametrize("lost", ["05_judge", "04_sample_and_capability.base.seed42"])
def test_a_chain_without_its_record_did_not_run(made, lost):
    (made.run.dir / "manifests" / f"{lost}.json").unlink()
    assert provenance.chain(made.run, PROFILE).status == NOT_RUN


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop(index=0), "1 samples without a judgment"),
        (lambda t: t[t["prompt_id"] != "p1"], "4 samples without a judgment"),
        (
            lambda t: t.assign(sample_index=t["sample_index"] + 1),
            "samples without a judgment or judgments without a sample",
        ),
        (
            lambda t: pd.concat([t, t.head(1).assign(condition="base_evil")]),
            "base_evil, seed 42 is in the profile or in",
        ),
        (lambda t: pd.concat([t, t.assign(seed=7)]), "seed 7"),
    ],
)
def test_judgments_that_are_not_the_samples_fail(made, spoil, words):
    check = provenance.complete(made.run, PROFILE, spoil(made.table()))
    assert check.status == FAILED and words in check.detail


def test_an_edited_table_fails(made):
    write_parquet(made.run.judgments("base", 42), made.judged("base").assign(aligned=100.0))
    check = provenance.complete(made.run, PROFILE, made.table())
    assert check.status == FAILED
    assert "judgments/seed42/base.parquet differs from what 05_judge wrote" in check.detail


def packed_without_weights(made, **left_out):
    """The run as it arrives in a pack whose list leaves the weights out."""
    path = made.run.serve("selfcorrect_em", 42) / "adapter_model.safetensors"
    name = str(path.relative_to(made.run.dir))
    digest = sha256(path)
    record = read_record(made.run.stage_manifest(TRAINING))
    write_record(made.run.stage_manifest(TRAINING), record | {"outputs": {name: digest}})
    write_json(made.run.pack, {"left_out": {name: {"sha256": digest} | left_out}})
    path.unlink()
    return name


def test_records_prove_the_chain_where_a_pack_left_the_weights_out(made):
    packed_without_weights(made)
    check = provenance.chain(made.run, PROFILE)
    assert check.status == PASSED
    assert "0 adapters checked by their weights, 1 by the records alone" in check.detail


def test_records_that_disagree_prove_nothing(made):
    name = packed_without_weights(made, sha256="0" * 64)
    assert provenance.chain(made.run, PROFILE).status == FAILED
    digest = read_record(made.run.stage_manifest(TRAINING))["outputs"][name]
    write_json(made.run.pack, {"left_out": {name: {"sha256": digest}}})
    assert provenance.chain(made.run, PROFILE).status == PASSED
    made.run.pack.unlink()
    assert provenance.chain(made.run, PROFILE).status == FAILED, "weights that a person deleted"
