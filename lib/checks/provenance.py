"""Was the verdict made from what lies in the run? Checks of the chain from recipe to judgment (docs/protocol.md section 8).

A notebook can be run alone, with an override or after its inputs changed; arms that were then made differently, or judged
on samples that are gone, must not meet in one verdict.
"""

from __future__ import annotations

import pandas as pd

from lib.analysis.inputs import is_original
from lib.checks.recorded import FAILED, NOT_RUN, PASSED, Check
from lib.config.schema import Profile
from lib.judge.session import read_samples
from lib.run.runs import Run, read_json, sha256

KEYS = ["seed", "condition", "suite", "prompt_id", "sample_index"]


def chain(run: Run, profile: Profile) -> Check:
    """Every adapter was trained with the profile's recipe, on one base, and everything later was made from what now lies."""
    name, manifests, bases = "one recipe, one chain", run.dir / "manifests", set()
    for path in sorted(manifests.glob("0[23]*.json")):
        record = read_json(path)["inputs"]
        for key, expected in (
            ("phase1", profile.phase1),
            ("phase2", profile.phase2),
            ("model", profile.model),
        ):
            found = record.get(key)
            if isinstance(found, dict) and found != expected.model_dump(mode="json"):
                return Check(
                    name,
                    FAILED,
                    f"{path.stem} was made with another {key} recipe than this profile's; run it again, "
                    "or give the changed recipe a run of its own (-p run NAME)",
                )
        bases |= {record["base"]} if "base" in record else set()
    if len(bases) > 1:
        return Check(
            name,
            FAILED,
            f"adapters were trained on {len(bases)} different bases; train them again on one",
        )
    judged = manifests / "05_judge.json"
    if not judged.exists():
        return Check(name, NOT_RUN, "no record of notebook 05")
    judged_from = read_json(judged)["inputs"]["samples"]
    for seed in profile.seeds:
        for condition in profile.conditions:
            sampled = manifests / f"04_sample_and_capability.{condition}.seed{seed}.json"
            if not sampled.exists() or not run.samples(condition, seed).exists():
                return Check(
                    name, NOT_RUN, f"no record of notebook 04 for {condition}, seed {seed}"
                )
            served = run.serve(condition, seed) / "adapter_model.safetensors"
            used, lies = (
                read_json(sampled)["inputs"]["adapter"],
                sha256(served) if served.exists() else None,
            )
            if used and not lies:
                return Check(
                    name,
                    FAILED,
                    f"the adapter that {condition}, seed {seed} was sampled from is not in the run; "
                    f"copy {served.relative_to(run.dir)} there, or run 03 to 05 again",
                )
            if used != lies:
                return Check(
                    name,
                    FAILED,
                    f"{condition}, seed {seed} was sampled from another adapter; run 04 and 05 again",
                )
            if judged_from.get(f"{condition}/seed{seed}") != sha256(run.samples(condition, seed)):
                return Check(
                    name,
                    FAILED,
                    f"{condition}, seed {seed} was judged on other samples; run notebook 05 again",
                )
    return Check(
        name,
        PASSED,
        f"{len(list(manifests.glob('0[23]*.json')))} trainings with the profile's recipe; samples and "
        "judgments made from what lies in the run",
    )


def complete(run: Run, profile: Profile, table: pd.DataFrame) -> Check:
    """The judgments of a run of this project: one original for every sample, of its own arms and seeds, unaltered since."""
    name = "judgments complete and unaltered"
    planned = {(seed, condition) for seed in profile.seeds for condition in profile.conditions}
    found = set(table[["seed", "condition"]].drop_duplicates().itertuples(index=False, name=None))
    if found != planned:
        seed, condition = min(found ^ planned)
        return Check(
            name,
            FAILED,
            f"{condition}, seed {seed} is in the profile or in judgments/, not in both; judge again",
        )
    samples = read_samples(run, profile)[KEYS]
    original = table[is_original(table)][KEYS]
    unequal = samples.merge(original, on=KEYS, how="outer", indicator=True).query(
        "_merge != 'both'"
    )
    if len(unequal):
        row = unequal.iloc[0]
        return Check(
            name,
            FAILED,
            f"{len(unequal)} samples without a judgment or judgments without a sample, first "
            f"{row['condition']}, seed {row['seed']}, {row['prompt_id']}; run notebook 05 again",
        )
    records = [run.dir / "manifests" / "05_judge.json"]
    records += [
        run.dir / "manifests" / f"04_sample_and_capability.{c}.seed{s}.json"
        for s, c in sorted(planned)
    ]
    for record in records:
        for output, digest in read_json(record)["outputs"].items():
            if sha256(run.dir / output) != digest:
                return Check(
                    name, FAILED, f"{output} differs from what {record.stem} wrote; make it again"
                )
    return Check(
        name,
        PASSED,
        f"{len(original)} completions of {len(planned)} arms and seeds, as their manifests say",
    )
