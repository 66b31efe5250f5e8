"""A healthy run folder made by hand, and the changes that spoil it."""

import itertools

import numpy as np
import pandas as pd

from lib.checks import recorded
from lib.config import params
from lib.config.experiment import Experiment
from lib.run import runs
from lib.run.files import read_json, write_json, write_parquet

ARMS = ["base", "base_evil", "c6_vanilla_em", "selfcorrect_only", "selfcorrect_em"]
SEEDS = [42, 43]
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
                write_parquet(self.run.samples(arm, seed), sampled(arm))

    def facts(self, stage, **changed):
        path = self.run.dir / "manifests" / f"{stage}.json"
        before = read_json(path)["facts"] if path.exists() else {}
        write_json(path, {"facts": before | changed})

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
        write_parquet(path, change(pd.read_parquet(path)))

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


def system(text, suite="alignment"):
    return lambda rows: rows.assign(system=rows["system"].mask(rows["suite"] == suite, text))
