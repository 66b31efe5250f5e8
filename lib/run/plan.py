"""The stages of a run in their order: which notebook, for which arms, at which seed.

The Snakefile runs them, and `make status` says how far they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.config.experiment import Experiment
from lib.run.grouping import Grouping

EM_SET = "em_set"
PILOT = "pilot"
REPORT = "report"
WITHOUT_NOTEBOOK = (EM_SET, PILOT, REPORT)


@dataclass(frozen=True)
class Plan:
    """What runs for an experiment, and in which groups."""

    experiment: Experiment

    builds: bool
    """Whether a Phase-2 set is built for the run before notebook 01."""

    @property
    def grouping(self) -> Grouping:
        """Which notebooks take which arms at once."""
        profile = self.experiment.profile
        return Grouping(
            together=profile.together,
            seeds=profile.seeds,
            conditions=self.experiment.arms,
            stop_at_gate1=profile.stop_at_gate1,
        )

    @property
    def phase1(self) -> list[str]:
        """What notebook 02 is run for."""
        return [
            arm for arm in self.grouping.arms if arm == "all" or self.experiment.phase1_kind(arm)
        ]

    @property
    def phase2(self) -> list[str]:
        """What notebook 03 is run for."""
        return [
            arm for arm in self.grouping.arms if arm == "all" or self.experiment.has_adapter(arm)
        ]

    def stages(self, stopped: bool = False) -> list[str]:
        """The names of all stages in order; without those after the pilot if it stopped the run."""
        names = [EM_SET] if self.builds else []
        names.append("01_build_traces")
        for group, arms in self.grouping.groups.items():
            if stopped and group == "rest":
                break
            for seed in self.experiment.seeds:
                names += self._of_seed(group, arms, seed)
            if group == "first":
                names.append(PILOT)
        ends = [] if stopped else ["05_judge", "06_stats_and_gates"]
        return [*names, *ends, REPORT]

    def executed(self, stage: str) -> str | None:
        """The stem of the stage's executed notebook. None for a stage without a notebook."""
        if stage in WITHOUT_NOTEBOOK:
            return None
        return self.grouping.stem(stage)

    def units(self, notebook: str) -> list[str]:
        """The manifests, one per arm, that notebooks 02 to 04 leave, all their stages together.

        Empty for a notebook that runs once.
        """
        experiment = self.experiment
        of: dict[str, Sequence[str]] = {
            "02_phase1_sft": experiment.phase1_kinds(experiment.arms),
            "03_phase2_em": [arm for arm in experiment.arms if experiment.has_adapter(arm)],
            "04_sample_and_capability": experiment.arms,
        }
        names: list[str] = []
        for seed in experiment.seeds:
            names += [f"{notebook}.{part}.seed{seed}" for part in of.get(notebook, ())]
        return names

    def _of_seed(self, group: str, arms: Sequence[str], seed: int) -> list[str]:
        """The stages of a group of arms at one seed."""
        names = [f"02_phase1_sft.{arm}.seed{seed}" for arm in arms if arm in self.phase1]
        names += [f"03_phase2_em.{arm}.seed{seed}" for arm in arms if arm in self.phase2]
        return [*names, f"04_sample_and_capability.{group}.seed{seed}"]
