"""Sweeps: several runs that are made and compared together, from params/sweeps/<name>.yaml."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.params import PARAMS_DIR, load_profile, read_yaml
from lib.config.strict import Strict
from lib.config.validation import validate

FOLDER = PARAMS_DIR / "sweeps"


class SweepRun(Strict):
    """One run of a sweep."""

    run: str = Field(description="its name, the folder under runs/")
    profile: str
    overrides: dict[str, Any] = Field(description="values of the profile, by dotted key")


class Sweep(Strict):
    """One file params/sweeps/<name>.yaml."""

    about: str = Field(min_length=1, description="what the runs differ in, for the reader")
    runs: list[SweepRun] = Field(min_length=1)


def names() -> list[str]:
    """The sweeps that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_sweep(name: str) -> Sweep:
    """A validated sweep; the profile of every run is checked with its overrides.

    Raises ParamsError naming the file, the run, the value and the nearest valid name.
    """
    name = arguments.name("NAME", name)
    where = f"params/sweeps/{name}.yaml"
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        known = names()
        nearest = f"; nearest: {closest_name(name, known)!r}" if known else ""
        raise ParamsError(f"{where} does not exist{nearest}")
    sweep = validate(Sweep, read_yaml(path, where), where)
    _check_runs(sweep, where)
    return sweep


def _check_runs(sweep: Sweep, where: str) -> None:
    """Raise ParamsError unless run names are valid and unique and every profile loads."""
    run_names = [one.run for one in sweep.runs]
    for one in sweep.runs:
        arguments.name(f"{where}: run", one.run)
        if run_names.count(one.run) > 1:
            raise ParamsError(
                f"{where}: two runs are called {one.run!r}; give each a name of its own"
            )
        try:
            load_profile(one.profile, one.overrides)
        except ParamsError as error:
            raise ParamsError(f"{where}: run {one.run!r}: {error}") from None
