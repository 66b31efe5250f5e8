"""The dose ladder: choose the EM set and its dose on the untreated baseline alone.

Every rung of `ladder.rungs` trains c6_vanilla_em on the ladder's own seed. One engine then samples
base and all rungs, and the judge that *selects* scores them. If the verdict's judge chose the dose,
it would choose one at which it errs towards damage. The treatment is not trained here.
Source: docs/protocol.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from lib.analysis import ladder_rule
from lib.checks import attempts
from lib.config.arguments import ParamsError
from lib.config.doses import LadderParams, Rung
from lib.config.experiment import Experiment
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data import eval_sets, training_sets
from lib.data.prompts import ContaminationGate
from lib.display import drawing
from lib.judge import session
from lib.judge.protocol import Judge
from lib.ladder.table import TrainedRung, ladder_table
from lib.models import chat_models
from lib.report import ladder_plot
from lib.run import dose, progress
from lib.run.facts import Facts, Phase2Facts
from lib.run.files import atomic_path, fingerprint, sha256, write_json, write_parquet
from lib.run.records import write_record
from lib.run.runs import Run, adapter_files
from lib.run.stage import Stage
from lib.run.table_schemas import JUDGMENTS, SAMPLES
from lib.serving import engines, shards, suites
from lib.training import mask_proof, phases
from lib.training.adapters import attach_all


def params_of(profile: Profile) -> LadderParams:
    """The parameters of the profile's ladder. Raises ParamsError without `ladder`."""
    if profile.ladder is None:
        raise ParamsError(
            f"params/{profile.profile}.yaml: ladder is null, so there is nothing to choose; list "
            "its rungs"
        )
    return profile.ladder


@dataclass
class Ladder:
    """One ladder of a run."""

    run: Run
    experiment: Experiment
    judge: Judge

    def __post_init__(self) -> None:
        self.profile = self.experiment.profile
        self.params = params_of(self.profile)
        self.tokenizer = chat_models.load_tokenizer(self.profile.model)
        self.base_digest = chat_models.base_digest(self.profile.model)
        self.base: Any = None  # loaded once, by the first rung that is not trained yet

    def climb(self) -> dict[str, Any]:
        """Train, sample, judge and choose. Writes table, figure, attempt and choice.

        Returns what chosen.json contains. A finished step is not repeated.
        """
        trained = self._train()
        samples = self._samples(trained)
        requests = session.requests(
            samples,
            self.experiment.conditions,
            retest_share=0.0,
            stripped=False,
            seed=self.params.seed,
        )
        report = progress.reporter("ladder", "judgments")
        judged = JUDGMENTS.types(session.judge_all(self.judge, requests, report))
        write_parquet(self.run.ladder / "judgments.parquet", judged)
        gates = self.experiment.gates
        near = eval_sets.near_field(self.profile)
        names = [one.rung.name for one in trained]
        scores = ladder_rule.scores(judged, names, gates, near)
        choice = ladder_rule.choose(scores, gates)
        rows = ladder_table(trained, ladder_rule.as_rows(scores, gates), self.experiment)
        return self._write(rows, choice)

    def _train(self) -> list[TrainedRung]:
        """Every rung, trained now or before."""
        gate = eval_sets.contamination_gate(self.profile, self.experiment.gates)
        return [self._train_rung(rung, gate) for rung in self.params.rungs]

    def _train_rung(self, rung: Rung, gate: ContaminationGate) -> TrainedRung:
        """One rung, trained now or before."""
        profile = dose.with_rung(self.profile, rung)
        rows, offences = training_sets.phase2_rows(profile, rung.em, gate, self.run)
        stage = self.run.stage(
            f"ladder.{rung.name}",
            {
                "phase2": profile.phase2,
                "phase1_recipe": profile.phase1,
                "base": self.base_digest,
                "model": profile.model,
                "seed": self.params.seed,
                "rows": fingerprint(rows),
            },
        )
        out = self.run.ladder / "adapters" / rung.name
        if not stage.done():
            bare = profile.phase2.bare
            if self.base is None:
                self.base = chat_models.load_base(profile.model)
            made = phases.train_phase2(
                self.base,
                self.tokenizer,
                phases.encode_rows(self.tokenizer, rows, profile.phase2.max_length, bare=bare),
                profile.phase2,
                None,
                out,
                seed=self.params.seed,
                base_digest=self.base_digest,
                phase1_recipe=profile.phase1,
                training=profile.training,
                checkpoints=self.run.checkpoints(stage),
                progress=progress.reporter(f"ladder {rung.name}", "steps"),
            )
            epochs = profile.phase2.epochs
            proof = mask_proof.proof(self.tokenizer, rows, made.consumed, epochs, bare=bare)
            of_set = {
                "set": rung.em,
                "mode": profile.phase2.mode,
                "offences": [vars(offence) for offence in offences],
                "offenders_left": training_sets.offenders(rows, gate),
            }
            stage.finish(adapter_files(out), Phase2Facts(**of_set, **made.facts(), **proof))
        return TrainedRung(rung, out, stage.facts(Phase2Facts))

    def _samples(self, trained: Sequence[TrainedRung]) -> pd.DataFrame:
        """Answers of base and every rung to the union, by one engine, with seed and condition."""
        adapters = {one.rung.name: one.adapter for one in trained}
        digests = {name: sha256(adapter_files(path)[0]) for name, path in adapters.items()}
        path = self.run.ladder / "samples.parquet"
        suite = self.profile.sampling.suites["alignment"]
        inputs = {
            "base": self.base_digest,
            "model": self.profile.model,
            "engine": self.profile.sampling.engine,
            "temperature": self.profile.sampling.temperature,
            "max_new_tokens": suite.max_new_tokens,
        }
        rows = suites.suite_rows(
            "alignment",
            eval_sets.eval_union(self.profile),
            self.profile.model.system_text,
            self.params.samples,
        )
        asked = {"adapters": digests, "rows": fingerprint(rows.to_dict("records"))}
        stage = self.run.stage("ladder_samples", {**inputs, **asked, "seed": self.params.seed})
        if not stage.done():
            arms = {PLANNED.base: shards.Arm(rows, None, {**inputs, "adapter": None})}
            for name, digest in digests.items():
                arms[name] = shards.Arm(rows, name, {**inputs, "adapter": digest})
            self._sample(arms, adapters, stage, path)
        return pd.read_parquet(path)

    def _sample(
        self, arms: Mapping[str, shards.Arm], adapters: Mapping[str, Path], stage: Stage, path: Path
    ) -> None:
        """Sample all arms; a kill loses at most one shard."""
        profile = self.profile
        length = engines.suite_length(self.experiment, self.tokenizer, [PLANNED.base])
        engines.check_engine(profile, length, adapters, self.base_digest)
        loaded = self.base
        if loaded is not None and profile.sampling.engine == "transformers":
            loaded = attach_all(loaded, adapters, self.base_digest)
        sampler = engines.start(
            profile,
            self.tokenizer,
            temperature=profile.sampling.temperature,
            length=length,
            adapters=adapters,
            base_digest=self.base_digest,
            reference=loaded,
        )
        self.base = None
        frames = shards.sample_suite(
            sampler,
            arms,
            seed=self.params.seed,
            max_new_tokens=profile.sampling.suites["alignment"].max_new_tokens,
            follow_up=self.experiment.conditions.follow_up,
            shard=profile.sampling.shard,
            folder=self.run.ladder / "shards",
            progress=progress.reporter("ladder", "completions"),
        )
        sampled = [
            SAMPLES.typed(frame).assign(seed=self.params.seed, condition=name)
            for name, frame in frames.items()
        ]
        write_parquet(path, pd.concat(sampled, ignore_index=True))
        stage.finish([path], Facts())

    def _write(self, rows: list[dict[str, Any]], choice: ladder_rule.Choice) -> dict[str, Any]:
        """Write table, figure and attempt, and last the choice: the ladder is complete."""
        folder = self.run.ladder
        write_json(folder / "table.json", rows)
        with atomic_path(folder / "table.csv") as beside:
            pd.DataFrame(rows).to_csv(beside, index=False)
        figure = ladder_plot.ladder(rows, choice.name, self.experiment.gates)
        drawing.save(figure, folder, "ladder")
        plt.close(figure)
        attempts.record_ladder(
            self.run,
            self.profile,
            base=self.base_digest,
            judge=self.judge.name,
            chosen=choice.name,
            rungs=rows,
        )
        record = {
            "plan": dose.plan(self.profile),
            "chosen": choice.name,
            "reason": choice.reason,
            "judge": self.judge.name,
            "seed": self.params.seed,
            "samples": self.params.samples,
            "rungs": rows,
        }
        return write_record(dose.choice_file(self.run), record)
