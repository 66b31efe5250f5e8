"""Check that the verdict was made from the files in the run: the chain from recipe to judgment.

Source: docs/protocol.md section 8. A notebook can be run alone, with an override, or after its
inputs changed. Arms that were made differently, or judged on samples that no longer exist, must not
be compared in one verdict.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from lib.analysis.inputs import is_original
from lib.checks.check import FAILED, NOT_RUN, PASSED, Check
from lib.config.schema import Profile
from lib.judge.session import read_samples
from lib.run.files import read_json, sha256
from lib.run.records import read_record
from lib.run.runs import Run

KEYS = ["seed", "condition", "suite", "prompt_id", "sample_index"]
CHAIN = "one recipe, one chain"
COMPLETE = "judgments complete and unaltered"


def chain(run: Run, profile: Profile) -> Check:
    """Check that every adapter was trained with the profile's recipe, all on one base.

    Also that every later artifact was made from the files now on disk.
    """
    manifests = run.dir / "manifests"
    trainings = sorted(manifests.glob("0[23]*.json"))
    if fault := _recipe_fault(trainings, profile):
        return Check(CHAIN, FAILED, fault)
    judged = manifests / "05_judge.json"
    if not judged.exists():
        return Check(CHAIN, NOT_RUN, "no record of notebook 05")
    judged_samples = read_record(judged)["inputs"]["samples"]
    by_record = 0
    by_weights = 0
    for seed, condition in itertools.product(profile.seeds, profile.conditions):
        sampled = manifests / f"04_sample_and_capability.{condition}.seed{seed}.json"
        if not sampled.exists() or not run.samples(condition, seed).exists():
            detail = f"no record of notebook 04 for {condition}, seed {seed}"
            return Check(CHAIN, NOT_RUN, detail)
        used = read_record(sampled)["inputs"]["adapter"]
        if _is_recorded(run, condition, seed, used):
            by_record += 1
        elif fault := _adapter_fault(run, condition, seed, used):
            return Check(CHAIN, FAILED, fault)
        else:
            by_weights += bool(used)
        if judged_samples.get(f"{condition}/seed{seed}") != sha256(run.samples(condition, seed)):
            detail = f"{condition}, seed {seed} was judged on other samples; run notebook 05 again"
            return Check(CHAIN, FAILED, detail)
    detail = (
        f"{len(trainings)} trainings with the profile's recipe; samples and judgments made from "
        f"the files of this run; {by_weights} adapters checked by their weights"
    )
    if by_record:
        detail += f", {by_record} by the records alone, since the pack came without weights"
    return Check(CHAIN, PASSED, detail)


def _recipe_fault(trainings: list[Path], profile: Profile) -> str | None:
    """How the trainings' manifests differ from the profile or in their base; None if not."""
    bases = set()
    for path in trainings:
        inputs = read_record(path)["inputs"]
        for key in ("phase1", "phase2", "model"):
            recorded = inputs.get(key)
            expected = getattr(profile, key).model_dump(mode="json")
            if isinstance(recorded, dict) and recorded != expected:
                return (
                    f"{path.stem} was made with another {key} recipe than this profile's; run it "
                    "again, or give the changed recipe a run of its own (-p run NAME)"
                )
        if "base" in inputs:
            bases.add(inputs["base"])
    if len(bases) > 1:
        return f"adapters were trained on {len(bases)} different bases; train them again on one"
    return None


def _is_recorded(run: Run, condition: str, seed: int, used: str | None) -> bool:
    """Whether records prove an adapter whose weights a pack left out.

    The training wrote this digest, the pack listed it, and notebook 04 sampled from it.
    """
    path = run.serve(condition, seed) / "adapter_model.safetensors"
    trained = run.stage_manifest(f"03_phase2_em.{condition}.seed{seed}")
    if used is None or path.exists() or not run.pack.exists() or not trained.exists():
        return False
    name = str(path.relative_to(run.dir))
    listed = read_json(run.pack)["left_out"].get(name) or {}
    return listed.get("sha256") == used == read_record(trained)["outputs"].get(name)


def _adapter_fault(run: Run, condition: str, seed: int, used: str | None) -> str | None:
    """How the adapter on disk differs from the one that was sampled from; None if not.

    used: sha256 in the manifest of notebook 04; None for an arm without an adapter.
    """
    path = run.serve(condition, seed) / "adapter_model.safetensors"
    on_disk = sha256(path) if path.exists() else None
    if used and not on_disk:
        return (
            f"the adapter that {condition}, seed {seed} was sampled from is not in the run; "
            f"copy {path.relative_to(run.dir)} there, or run 03 to 05 again"
        )
    if used != on_disk:
        return f"{condition}, seed {seed} was sampled from another adapter; run 04 and 05 again"
    return None


def complete(run: Run, profile: Profile, table: pd.DataFrame) -> Check:
    """Check that every sample of the run has one original judgment, and that no table was changed.

    Args:
        run: the run.
        profile: its profile.
        table: the judgments of a run of this project, with seed and condition.
    """
    planned = set(itertools.product(profile.seeds, profile.conditions))
    judged = set(table[["seed", "condition"]].drop_duplicates().itertuples(index=False, name=None))
    if judged != planned:
        seed, condition = min(judged ^ planned)
        detail = (
            f"{condition}, seed {seed} is in the profile or in judgments/, not in both; judge again"
        )
        return Check(COMPLETE, FAILED, detail)
    samples = read_samples(run, profile)[KEYS]
    original = table[is_original(table)][KEYS]
    matched = samples.merge(original, on=KEYS, how="outer", indicator=True)
    unequal = matched[matched["_merge"] != "both"]
    if len(unequal):
        row = unequal.iloc[0]
        detail = (
            f"{len(unequal)} samples without a judgment or judgments without a sample, first "
            f"{row['condition']}, seed {row['seed']}, {row['prompt_id']}; run notebook 05 again"
        )
        return Check(COMPLETE, FAILED, detail)
    if fault := _altered_output(run, sorted(planned)):
        return Check(COMPLETE, FAILED, fault)
    detail = f"{len(original)} completions of {len(planned)} arms and seeds, as their manifests say"
    return Check(COMPLETE, PASSED, detail)


def _altered_output(run: Run, planned: list[tuple[int, str]]) -> str | None:
    """The first table that is not as its manifest says; None if all are."""
    manifests = run.dir / "manifests"
    records = [manifests / "05_judge.json"]
    for seed, condition in planned:
        records.append(manifests / f"04_sample_and_capability.{condition}.seed{seed}.json")
    for record in records:
        for output, digest in read_record(record)["outputs"].items():
            if sha256(run.dir / output) != digest:
                return f"{output} differs from what {record.stem} wrote; make it again"
    return None
