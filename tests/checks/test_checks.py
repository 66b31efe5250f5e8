"""Validity checks on a run folder made by hand.

A healthy run passes, a planted violation fails, and a check without a record is `not run`.
"""

import numpy as np
import pytest
from recorded_run import CONDITIONS, PHASE2, PROFILE, SEEDS, Record, system

from lib.checks import recorded
from lib.checks.check import FAILED, NOT_RUN, PASSED
from lib.run import runs

NAMES = [
    "loss mask",
    "phase 1 active",
    "joined adapter",
    "checkpoints differ",
    "engine serves them",
    "contamination",
    "equal phase-2 steps",
    "prompts explicit and identical",
]
MASK, PHASE1, JOINED, DISTINCT, PARITY, CONTAMINATION, STEPS, PROMPTS = NAMES


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Record()


def only(found, name, status, *words):
    """The named check alone has this status, the others passed; its detail holds every word."""
    assert {n: c.status for n, c in found.items()} == dict.fromkeys(NAMES, PASSED) | {name: status}
    assert [word for word in words if word not in found[name].detail] == [], found[name].detail


def test_a_healthy_run_passes_every_check(made):
    found = made.statuses()
    assert list(found) == NAMES and {c.status for c in found.values()} == {PASSED}
    details = " · ".join(c.detail for c in found.values())
    for fact in (
        "80 rows in 6 runs",
        "changes by at least 0.05 in every run",
        "1.00e-03, bound 1e-03",
        "7 checkpoints",
        "vllm: largest rms difference 0.02",
        "3 offenders dropped",
        "4 optimizer steps in each of 4 runs",
        "10 samplings, 2 prompts",
    ):
        assert fact in details
    assert recorded.failed(found.values()) == []


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        (
            MASK,
            lambda m: m.facts("02_phase1_sft.selfcorrect.seed43", rows_proven=7),
            ["selfcorrect, seed 43"],
        ),
        (
            MASK,
            lambda m: m.facts("03_phase2_em.c6_vanilla_em.seed42", rows_proven=None),
            ["c6_vanilla_em, seed 42"],
        ),
        (PHASE1, lambda m: m.facts(PHASE2, phase1_effect=0.0), ["selfcorrect_em, seed 43"]),
        (PHASE1, lambda m: m.facts(PHASE2, phase1_effect=None), ["selfcorrect_em, seed 43"]),
        (JOINED, lambda m: m.facts(PHASE2, join_difference=1.01e-3), ["1.01e-03, bound 1e-03"]),
        (
            DISTINCT,
            lambda m: m.copied("selfcorrect_em", 42, "c6_vanilla_em", 42),
            ["identical", "c6_vanilla_em"],
        ),
        (
            DISTINCT,
            lambda m: m.copied("selfcorrect_em", 43, "selfcorrect_em", 42),
            ["seed42", "seed43"],
        ),
        (DISTINCT, lambda m: m.copied("c6_vanilla_em", 42, "base", 42), ["base", "c6_vanilla_em"]),
        (
            DISTINCT,
            lambda m: m.logprobs("selfcorrect_em", values=np.full((2, 3), np.nan)),
            ["NaN", "seed43"],
        ),
        (PARITY, lambda m: m.parity("base", rms=0.31), ["base, seed 43"]),
        (PARITY, lambda m: m.parity("selfcorrect_em", crossed=0.51), ["selfcorrect_em, seed 43"]),
        (PARITY, lambda m: m.parity("selfcorrect_em", crossed=0.9), ["are not the trained ones"]),
        (
            PARITY,
            lambda m: m.decoding("selfcorrect_em", crossed=0.9),
            ["those of tokens it draws are not"],
        ),
        (
            PARITY,
            lambda m: m.decoding("base", rms=0.4),
            ["base, seed 43: those of tokens it draws"],
        ),
        (
            CONTAMINATION,
            lambda m: m.facts("01_build_traces", offenders_left=1),
            ["1 training texts"],
        ),
        (CONTAMINATION, lambda m: m.facts(PHASE2, offenders_left=2), ["2 training texts"]),
        (STEPS, lambda m: m.facts(PHASE2, optimizer_steps=5), ["'selfcorrect_em, seed 43': 5"]),
        (
            PROMPTS,
            lambda m: m.samples("base", system("Be kind.")),
            ["base, seed 43", "another system text"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base_evil", system(PROFILE.model.system_text)),
            ["base_evil, seed 43"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base", system(None)),
            ["base, seed 43", "without system text"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base", system(" ", "benign")),
            ["base, seed 43", "without system text"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base", lambda r: r.replace("Prompt 1", "Prompt I")),
            ["seed 43", "seed 42"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base", lambda r: r.drop(index=0)),
            ["other alignment prompts"],
        ),
        (
            PROMPTS,
            lambda m: m.samples("base", lambda r: r[r["suite"] == "benign"]),
            ["base, seed 43"],
        ),
    ],
)
def test_a_planted_violation_fails_its_check(made, name, spoil, words):
    spoil(made)
    found = made.statuses()
    only(found, name, FAILED, *words)
    assert recorded.failed(found.values()) == [f"{name} (failed): {found[name].detail}"]


@pytest.mark.parametrize(
    ("parts", "lost"),
    [
        (("manifests", "01_build_traces.json"), [CONTAMINATION]),
        (("manifests", "02_phase1_sft.selfcorrect.seed43.json"), [MASK]),
        (("manifests", "03_phase2_em.c6_vanilla_em.seed43.json"), [MASK, CONTAMINATION, STEPS]),
        (("manifests", f"{PHASE2}.json"), [MASK, PHASE1, JOINED, CONTAMINATION, STEPS]),
        (("checks", "seed43", "selfcorrect_only.npz"), [DISTINCT]),
        (("manifests", "04_sample_and_capability.selfcorrect_only.seed43.json"), [PARITY]),
        (("samples", "seed43", "selfcorrect_only.parquet"), [PROMPTS]),
    ],
)
def test_without_its_record_a_check_did_not_run(made, parts, lost):
    made.remove(*parts)
    found = made.statuses()
    assert [name for name, check in found.items() if check.status == NOT_RUN] == lost
    assert [line.split(" (not run)")[0] for line in recorded.failed(found.values())] == lost, (
        "no pass in a run of our own"
    )
    assert recorded.failed(found.values(), own_run=False) == []


def test_nothing_ran_in_an_empty_folder_or_on_judgments_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    collected = recorded.collect(runs.Run("empty"), PROFILE, CONDITIONS)
    elsewhere = recorded.not_run("no artifacts")
    assert [c.name for c in collected] == NAMES == [c.name for c in elsewhere][: len(NAMES)]
    assert {c.status for c in [*collected, *elsewhere]} == {NOT_RUN}
    assert recorded.as_frame(elsewhere)["detail"].tolist() == ["no artifacts"] * (len(NAMES) + 3)


def test_continue_has_nothing_to_join(made):
    for seed in SEEDS:
        for arm in ("c6_vanilla_em", "selfcorrect_em"):
            made.facts(
                f"03_phase2_em.{arm}.seed{seed}",
                mode="continue",
                join_difference=None,
                phase1_effect=None,
            )
    found = made.statuses("continue")
    assert {c.status for c in found.values()} == {PASSED}
    assert "nothing is joined" in found["joined adapter"].detail


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (DISTINCT, lambda m: m.logprobs("selfcorrect_em", base=True, values=np.full((2, 3), -1.0))),
        (JOINED, lambda m: m.facts(PHASE2, join_difference=None)),
        (PROMPTS, lambda m: m.samples("base", system("Be kind.", "benign"))),
        (
            PROMPTS,
            lambda m: m.samples(
                "base", lambda r: r[(r["suite"] == "alignment") | (r["prompt_id"] == "p0")]
            ),
        ),
    ],
    ids=[
        "arm served the base",
        "stack without a measured join",
        "benign under another text",
        "benign asks less",
    ],
)
def test_more_violations_fail_their_check(made, name, spoil):
    spoil(made)
    assert made.statuses()[name].status == FAILED
