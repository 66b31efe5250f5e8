"""The stages of a run in their order: which notebook, for which arms, at which seed.

The Snakefile runs them, and `make status` says how far they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib.config.experiment import Experiment
from lib.run.grouping import Grouping

EM_SET = "em_set"
PILOT = "pilot"
REPORT = "report"
TRACES = "01_build_traces"
SAMPLE = "04_sample_and_capability"
WITHOUT_NOTEBOOK = (EM_SET, PILOT, REPORT)


@dataclass(frozen=True)
class Plan:
    """What runs for an experiment, and in which groups."""

    experiment: Experiment

    builds: bool
    """Whether a Phase-2 set is built for the run before notebook 01."""

    gpus: int = 1
    """How many GPUs share the work. More than one divides the groups of notebook 04."""

    @property
    def grouping(self) -> Grouping:
        """Which notebooks take which arms at once, on one GPU."""
        profile = self.experiment.profile
        return Grouping(
            together=profile.together,
            seeds=profile.seeds,
            conditions=self.experiment.arms,
            stop_at_gate1=profile.stop_at_gate1,
        )

    @property
    def groups(self) -> dict[str, list[str]]:
        """The arms that notebook 04 takes at once.

        If a seed has several GPUs, each group of `grouping` is divided among them.
        """
        groups = {}
        for name, arms in self.grouping.groups.items():
            shares = self._shares(arms)
            for number, share in enumerate(shares, start=1):
                groups[f"{name}-{number}" if len(shares) > 1 else name] = share
        return groups

    @property
    def before_pilot(self) -> list[str]:
        """The groups that the pilot of gate 1 waits for."""
        first = set(self.grouping.first)
        return [name for name, arms in self.groups.items() if set(arms) <= first]

    def _shares(self, arms: Sequence[str]) -> list[list[str]]:
        """A group's arms in as many parts as a seed has GPUs.

        Arms without an adapter stay together, since they are one checkpoint. Every part has a
        trained arm, because an engine is compared with the training stack by its adapters.
        """
        trained = [arm for arm in arms if arm == "all" or self.experiment.has_adapter(arm)]
        n_shares = min(self.gpus // len(self.experiment.seeds), len(trained))
        if n_shares < 2:
            return [list(arms)] if arms else []
        shares = [[arm for arm in arms if arm not in trained], *([] for _ in range(n_shares - 1))]
        for arm in trained:
            # The smallest part, but first those that have no trained arm yet.
            open_shares = [share for share in shares if not set(share) & set(trained)]
            min(open_shares or shares, key=len).append(arm)
        return [sorted(share, key=list(arms).index) for share in shares]

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
        names.append(TRACES)
        waited_for = self.before_pilot if self.experiment.profile.stop_at_gate1 else []
        for group, arms in self.groups.items():
            if stopped and group not in waited_for:
                break
            for seed in self.experiment.seeds:
                names += self._of_seed(group, arms, seed)
            if group in waited_for[-1:]:
                names.append(PILOT)
        ends = [] if stopped else ["05_judge", "06_stats_and_gates"]
        return [*names, *ends, REPORT]

    def waits_for(self, stage: str) -> list[str]:
        """The stages that have to be finished before a stage begins. The report waits for 06.

        Gate 1 comes first: what runs after its pilot waits for it.
        """
        notebook, arm, seed = parts(stage)
        if notebook == TRACES:
            return [EM_SET] if self.builds else []
        if notebook == "02_phase1_sft":
            first = [f"{notebook}.{other}.{seed}" for other in self._same_phase1(arm)]
            return [*self._before(TRACES, [], arm, seed), *first]
        if notebook == "03_phase2_em":
            return self._before("02_phase1_sft", self.phase1, arm, seed)
        if notebook == SAMPLE:
            waited_for: dict[str, None] = {}
            for one in self.groups[arm]:
                waited_for |= dict.fromkeys(self._before("03_phase2_em", self.phase2, one, seed))
            return list(waited_for)
        if notebook == PILOT:
            return self._sampled(self.before_pilot, self.experiment.seeds[:1])
        if notebook == "05_judge":
            return self._sampled(self.groups, self.experiment.seeds)
        return {"06_stats_and_gates": ["05_judge"], REPORT: ["06_stats_and_gates"]}.get(stage, [])

    def _before(self, notebook: str, arms: Sequence[str], arm: str, seed: str) -> list[str]:
        """What a stage of one arm waits for: the notebook before it, or 01; and the pilot.

        arms: those for which the notebook before it is run.
        """
        stage = f"{notebook}.{arm}.{seed}" if arm in arms else TRACES
        return [stage] if arm in self.grouping.first else [stage, PILOT]

    def _same_phase1(self, arm: str) -> list[str]:
        """The earlier arm that trains the same Phase-1 adapter: two jobs must not both train it."""
        if arm == "all":
            return []
        kind = self.experiment.phase1_kind(arm)
        in_order = sorted(self.phase1, key=lambda other: other not in self.grouping.first)
        earliest = next(other for other in in_order if self.experiment.phase1_kind(other) == kind)
        return [earliest] if earliest != arm else []

    def _sampled(self, groups: Iterable[str], seeds: Sequence[int]) -> list[str]:
        """Notebook 04 of these groups and seeds."""
        stages = []
        for group in groups:
            stages += [f"{SAMPLE}.{group}.seed{seed}" for seed in seeds]
        return stages

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
            SAMPLE: experiment.arms,
        }
        names: list[str] = []
        for seed in experiment.seeds:
            names += [f"{notebook}.{part}.seed{seed}" for part in of.get(notebook, ())]
        return names

    def _of_seed(self, group: str, arms: Sequence[str], seed: int) -> list[str]:
        """The stages of a group of arms at one seed."""
        names = [f"02_phase1_sft.{arm}.seed{seed}" for arm in arms if arm in self.phase1]
        names += [f"03_phase2_em.{arm}.seed{seed}" for arm in arms if arm in self.phase2]
        return [*names, f"{SAMPLE}.{group}.seed{seed}"]


def parts(stage: str) -> tuple[str, str, str]:
    """Notebook, arm or group, and "seed<k>" of a stage; both empty for one that runs once."""
    notebook, dot, rest = stage.partition(".")
    arm, _, seed = rest.rpartition(".")
    return (notebook, arm, seed) if dot else (stage, "", "")
