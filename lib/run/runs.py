"""A run's paths, and its stages: which are finished, by the fingerprint of their inputs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from lib.config import arguments
from lib.config.params import ROOT
from lib.config.schema import Profile
from lib.run.facts import Facts
from lib.run.files import fingerprint, read_json, sha256, write_json
from lib.run.paths import folder

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

    @property
    def manifest(self) -> Path:
        """Profile, environment and stamp of the run."""
        return self.dir / "manifest.json"

    def traces(self, kind: str) -> Path:
        """Conversations of one trace kind."""
        return self.dir / "traces" / f"{kind}.jsonl"

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
        for path in (self.dir / "samples").glob("seed*/*.parquet"):
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
        """The path of an input. Raises FileNotFoundError, with the command, if it is missing.

        Args:
            path: the input's file.
            what: the input in words, in the plural ("samples of base, seed 42").
            made_by: the command that makes it.
        """
        if not path.exists():
            missing = path.relative_to(self.dir.parent)
            raise FileNotFoundError(f"{what} are missing ({missing}); make them with: {made_by}")
        return path

    def stage(self, name: str, inputs: Mapping[str, Any]) -> Stage:
        """A stage of this run, finished or not."""
        return Stage(self.stage_manifest(name), self.dir, inputs)

    def stage_manifest(self, name: str) -> Path:
        """The record of a finished stage."""
        return self.dir / "manifests" / f"{name}.json"

    def facts(self, stage: str, kind: type[FactsOf]) -> FactsOf | None:
        """The facts of a finished stage. None if it has no manifest."""
        path = self.stage_manifest(stage)
        return kind.from_manifest(read_json(path)["facts"]) if path.exists() else None


# When the last stage of this process ended. The stages of a process run one after the other, so the
# next one's seconds count from here, even if its Stage was made earlier.
_last_finish = 0.0


class Stage:
    """One unit of work with a manifest.

    inputs: parameters and content hashes on which the outputs depend. Their fingerprint decides
    whether a finished stage is still valid. The manifest is written after all outputs, so it also
    marks the stage as complete.
    """

    def __init__(self, manifest: Path, base: Path, inputs: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.base = base
        self.inputs = dict(inputs)
        self.fingerprint = fingerprint(self.inputs)
        self._started = time.time()

    def done(self) -> bool:
        """Whether the inputs and the content of every output are as the manifest records them.

        Prints in one line why it is skipped or made again.
        """
        if not self.manifest.exists():
            return False
        record = read_json(self.manifest)
        if record["fingerprint"] != self.fingerprint:
            print(f"{self.manifest.stem}: inputs changed since it was made, making it again")
            return False
        for name, digest in record["outputs"].items():
            path = self.base / name
            if not path.exists() or sha256(path) != digest:
                print(
                    f"{self.manifest.stem}: {name} is missing or differs from its manifest, "
                    "making it again"
                )
                return False
        print(f"{self.manifest.stem}: finished before, skipped")
        return True

    def record(self) -> dict:
        """The manifest of a finished stage."""
        return read_json(self.manifest)

    def facts(self, kind: type[FactsOf]) -> FactsOf:
        """The facts of a finished stage."""
        return kind.from_manifest(self.record()["facts"])

    def finish(self, outputs: Iterable[Path], facts: Facts) -> dict:
        """Write the manifest and return it.

        Args:
            outputs: the files that the stage made.
            facts: what later stages and the report need to know about this one.
        """
        global _last_finish
        now = time.time()
        seconds = now - max(self._started, _last_finish)
        _last_finish = now
        record = {
            "fingerprint": self.fingerprint,
            "inputs": self.inputs,
            "outputs": {str(path.relative_to(self.base)): sha256(path) for path in outputs},
            "facts": facts.to_manifest(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
        }
        write_json(self.manifest, record)
        return record


def open_run(profile: Profile, run: str) -> Run:
    """Open the run of a notebook and print its name and profile.

    Args:
        profile: the notebook's profile.
        run: the run's name. Empty: the profile's name.

    Raises ValueError if the run was started with another profile.
    """
    opened = Run(arguments.text("run", run) or profile.profile)
    if opened.manifest.exists():
        own = read_json(opened.manifest)["profile"]["profile"]
        if own != profile.profile:
            raise ValueError(
                f"run {opened.name!r} was started with profile {own!r}, now {profile.profile!r}; "
                "give this profile a run name of its own (-p run NAME)"
            )
    print(f"run {opened.name} · profile {profile.profile} · {profile.about}")
    return opened
