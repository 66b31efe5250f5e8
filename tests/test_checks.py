"""Validity checks on a run folder made by hand.

A healthy run passes, a planted violation fails, and a check without a record is `not run`.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

from lib.checks import recorded
from lib.checks.check import FAILED, NOT_RUN, PASSED
from lib.config import params
from lib.config.experiment import Experiment
from lib.run import runs

ARMS = ["base", "base_evil", "c6_vanilla_em", "selfcorrect_only", "selfcorrect_em"]
SEEDS = [42, 43]
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
PHASE2 = "03_phase2_em.selfcorrect_em.seed43"
PROFILE = params.load_profile("smoke", {"conditions": ARMS, "seeds": SEEDS})
CONDITIONS = params.load_conditions()


class Record:
    """A healthy run folder, and the changes that spoil it."""

    def __init__(self):
        self.run = runs.Run("made")
        self.facts("01_build_traces", offenders_left=0, report={"offences": [{}, {}]})
        for seed in SEEDS:
            self.facts(f"02_phase1_sft.selfcorrect.seed{seed}", rows=8, rows_proven=8)
            for arm in ("c6_vanilla_em", "selfcorrect_em"):
                treated = arm == "selfcorrect_em"
                self.facts(
                    f"03_phase2_em.{arm}.seed{seed}",
                    mode="stack",
                    rows=16,
                    rows_proven=16,
                    offences=[{}],
                    offenders_left=0,
                    optimizer_steps=4,
                    join_difference=1e-3 if treated else None,
                    phase1_effect=0.05 if treated else None,
                )
            for number, arm in enumerate(ARMS):
                is_base = arm.startswith("base")
                value = -1.0 if is_base else -10.0 * number - seed
                self.logprobs(arm, seed, base=is_base, values=np.full((2, 3), value))
                self.parity(arm, seed)
                runs.write_parquet(self.run.samples(arm, seed), sampled(arm))

    def facts(self, stage, **changed):
        path = self.run.dir / "manifests" / f"{stage}.json"
        before = runs.read_json(path)["facts"] if path.exists() else {}
        runs.write_json(path, {"facts": before | changed})

    def parity(self, arm, seed=43, **changed):
        right = {"rms": 0.02, "bound": 0.3, "crossed": None if arm == "base" else 0.1}
        self.facts(
            f"04_sample_and_capability.{arm}.seed{seed}",
            engine="vllm",
            parity=right | changed,
            decoding=right,
        )

    def decoding(self, arm, **changed):
        self.facts(
            f"04_sample_and_capability.{arm}.seed43",
            decoding={"rms": 0.02, "bound": 0.3, "crossed": 0.1} | changed,
        )

    def logprobs(self, arm, seed=43, *, values, base=False):
        path = self.run.dir / "checks" / f"seed{seed}" / f"{arm}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, logprobs=values, checkpoint="base" if base else arm)

    def copied(self, arm, seed, source, source_seed):
        with np.load(self.run.dir / "checks" / f"seed{source_seed}" / f"{source}.npz") as file:
            self.logprobs(arm, seed, values=file["logprobs"])

    def samples(self, arm, change, seed=43):
        path = self.run.samples(arm, seed)
        runs.write_parquet(path, change(pd.read_parquet(path)))

    def remove(self, *parts):
        self.run.dir.joinpath(*parts).unlink()

    def statuses(self, mode="stack"):
        profile = PROFILE.model_copy(
            update={"phase2": PROFILE.phase2.model_copy(update={"mode": mode})}
        )
        return {check.name: check for check in recorded.collect(self.run, profile, CONDITIONS)}


def sampled(arm):
    """Samples of an arm: two of each of two prompts; `base_evil` has no benign suite."""
    alignment_system = Experiment.of(PROFILE).system_text(arm, "alignment")
    suites = ["alignment"] if arm == "base_evil" else ["alignment", "benign"]
    rows = [
        {
            "suite": suite,
            "prompt_id": f"p{i}",
            "prompt": f"Prompt {i}",
            "sample_index": k,
            "system": alignment_system if suite == "alignment" else PROFILE.model.system_text,
        }
        for suite, i, k in itertools.product(suites, range(2), range(2))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Record()


def only(found, name, status, *words):
    """The named check alone has this status, the others passed; its detail holds every word."""
    assert {n: c.status for n, c in found.items()} == dict.fromkeys(NAMES, PASSED) | {name: status}
    assert [word for word in words if word not in found[name].detail] == [], found[name].detail


def system(text, suite="alignment"):
    return lambda rows: rows.assign(system=rows["system"].mask(rows["suite"] == suite, text))


def test_a_healthy_run_passes_every_check(made):
    found = made.statuses()
    assert list(found) == NAMES and {c.status for c in found.values()} == {PASSED}
    details = " · ".join(c.detail for c in found.values())
    for fact in (
        "80 rows in 6 runs",
        "effect below Phase 2: 0.05",
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
