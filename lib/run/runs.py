"""A run's paths, and its stages: which are finished, by the fingerprint of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.params import ROOT
from lib.config.schema import Profile
from lib.run.facts import Facts
from lib.run.paths import folder, shown
from lib.run.records import RecordError, read_record
from lib.run.stage import Stage, altered_output
from lib.setup.caches import usable

FactsOf = TypeVar("FactsOf", bound=Facts)
LOCK = ".lock"  # in the folder of all runs, held by `make report`, `em_set` and `ladder`


def runs_root() -> Path:
    """The folder of all runs: `runs/`, or what SELFCORRECT_RUNS_DIR names. Raises ParamsError."""
    return folder("SELFCORRECT_RUNS_DIR", ROOT / "runs")


def adapter_files(folder: Path) -> list[Path]:
    """The files of a PEFT adapter, whose content a stage records."""
    return [folder / "adapter_model.safetensors", folder / "adapter_config.json"]


class Run:
    """The paths of one run. `name` is its folder under runs/."""

    def __init__(self, name: str) -> None:
        self.name = arguments.name("run", name)
        self.dir = runs_root() / self.name

    def check_writable(self) -> None:
        """Raise ParamsError if the run's folder takes no new file: read-only, or a full disk."""
        if not usable(self.dir):
            raise ParamsError(
                f"{shown(self.dir)} cannot be written (read-only, or the disk is full); make it "
                "writable, or name another folder of runs: SELFCORRECT_RUNS_DIR=FOLDER"
            )

    @property
    def manifest(self) -> Path:
        """Profile, environment and stamp of the run."""
        return self.dir / "manifest.json"

    @property
    def pack(self) -> Path:
        """What the pack listed that the run was taken on from; missing in a run made here."""
        return self.dir / "pack.json"

    def traces(self, kind: str) -> Path:
        """Conversations of one trace kind."""
        return self.dir / "traces" / f"{kind}.jsonl"

    @property
    def persona_answers(self) -> Path:
        """Judged answers of notebook 01's persona check."""
        return self.dir / "persona" / "answers.parquet"

    def em_set(self, name: str) -> Path:
        """The rows of an EM set that was built for this run."""
        return self.dir / "em_sets" / f"{name}.jsonl"

    @property
    def ladder(self) -> Path:
        """The folder of the dose ladder."""
        return self.dir / "ladder"

    def phase1(self, kind: str, seed: int) -> Path:
        """The adapter that Phase 1 made from a trace kind."""
        return self.dir / "adapters" / f"seed{seed}" / "phase1" / kind

    def serve(self, condition: str, seed: int) -> Path:
        """The adapter that an arm is served with; in `stack` mode it is the joined one."""
        return self.dir / "adapters" / f"seed{seed}" / condition / "serve"

    def samples(self, condition: str, seed: int) -> Path:
        """The answers of an arm."""
        return self.dir / "samples" / f"seed{seed}" / f"{condition}.parquet"

    def sampled(self) -> dict[tuple[str, int], Path]:
        """The files of answers that are there, by arm and seed; the lower seeds come first."""
        files = {}
        for path in filter(Path.is_file, (self.dir / "samples").glob("seed*/*.parquet")):
            files[path.stem, int(path.parent.name.removeprefix("seed"))] = path
        return dict(sorted(files.items(), key=lambda item: (item[0][1], item[0][0])))

    def capability(self, condition: str, seed: int) -> Path:
        """The capability score of an arm's checkpoint."""
        return self.dir / "capability" / f"seed{seed}" / f"{condition}.json"

    def judgments(self, condition: str, seed: int) -> Path:
        """The judgments of an arm's answers."""
        return self.dir / "judgments" / f"seed{seed}" / f"{condition}.parquet"

    def shards(self, seed: int) -> Path:
        """Where notebook 04 keeps the pieces of a sampling that is not finished."""
        return self.dir / "samples" / f"seed{seed}" / "shards"

    def logprobs(self, condition: str, seed: int) -> Path:
        """Log-probabilities of the checkpoint that an arm was sampled from, at fixed positions."""
        return self.dir / "checks" / f"seed{seed}" / f"{condition}.npz"

    def checkpoints(self, stage: Stage) -> Path:
        """Checkpoints that a killed training continues from. Each recipe has its own folder."""
        return self.dir / "checkpoints" / stage.fingerprint[:16]

    def judge_store(self, stage: str) -> Path:
        """Where an LLM judge keeps its answers.

        stage: `em_set`, `ladder`, `traces`, `pilot`, `session`, `validity` or `second`; each has
        its own file.
        """
        return self.dir / "judge" / f"{stage}.sqlite"

    def second_judgments(self, condition: str, seed: int) -> Path:
        """The second judge's judgments of a share of an arm's answers."""
        return self.dir / "judgments_second" / f"seed{seed}" / f"{condition}.parquet"

    @property
    def pilot(self) -> Path:
        """What the pilot of gate 1 found, and whether it stops the run."""
        return self.dir / "pilot" / "result.json"

    @property
    def result(self) -> Path:
        """Everything that the analysis found, as JSON."""
        return self.dir / "stats" / "result.json"

    def command(
        self, notebook: str, profile: Profile, *, arm: str | None = None, seed: int | None = None
    ) -> str:
        """The command that executes a notebook for this run, for the errors that name it."""
        given = {"profile": profile.profile, "condition": arm, "seed": seed, "run": self.name}
        parameters = [f"-p {name} {value}" for name, value in given.items() if value is not None]
        return f"papermill notebooks/{notebook}.ipynb out.ipynb {' '.join(parameters)}"

    def require(self, path: Path, what: str, *, made_by: str) -> Path:
        """The path of an input, if it is as the stage that made it wrote it.

        Raises FileNotFoundError if it is missing, and RecordError if it or what was made with it
        was changed since; both with the command that makes it.

        Args:
            path: the input's file.
            what: the input in words, in the plural ("samples of base, seed 42").
            made_by: the command that makes it.
        """
        if not path.exists():
            missing = path.relative_to(self.dir.parent)
            raise FileNotFoundError(f"{what} are missing ({missing}); make them with: {made_by}")
        for manifest in self.stage_manifests():
            record = read_record(manifest)
            is_output = str(path.relative_to(self.dir)) in record.get("outputs", {})
            altered = altered_output(record, self.dir) if is_output else None
            if altered:
                raise RecordError(
                    f"{what} are not what {manifest.stem} wrote: {altered} was changed since; "
                    f"make them again with: {made_by}"
                )
        return path

    def stage_manifests(self) -> list[Path]:
        """The records of all finished stages."""
        return sorted((self.dir / "manifests").glob("*.json"))

    def stage(self, name: str, inputs: Mapping[str, Any]) -> Stage:
        """A stage of this run, finished or not."""
        return Stage(self.stage_manifest(name), self.dir, inputs)

    def stage_manifest(self, name: str) -> Path:
        """The record of a finished stage."""
        return self.dir / "manifests" / f"{name}.json"

    def facts(self, stage: str, kind: type[FactsOf]) -> FactsOf | None:
        """The facts of a finished stage. None if it has no manifest."""
        path = self.stage_manifest(stage)
        return kind.from_manifest(read_record(path)["facts"]) if path.exists() else None


def open_run(profile: Profile, run: str) -> Run:
    """Open the run of a notebook and print its name and profile.

    Args:
        profile: the notebook's profile.
        run: the run's name. Empty: the profile's name.

    Raises ValueError if the run was started with another profile.
    """
    opened = Run(arguments.text("run", run) or profile.profile)
    opened.check_writable()
    if opened.manifest.exists():
        own = read_record(opened.manifest)["profile"]["profile"]
        if own != profile.profile:
            raise ValueError(
                f"run {opened.name!r} was started with profile {own!r}, now {profile.profile!r}; "
                "give this profile a run name of its own (-p run NAME)"
            )
    print(f"run {opened.name} · profile {profile.profile} · {profile.about}")
    return opened
