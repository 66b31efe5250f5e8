"""The Phase-2 dose that a run's ladder chose, put into the profile (docs/protocol.md section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.config.arguments import ParamsError
from lib.config.doses import Rung
from lib.config.schema import Profile
from lib.run.files import fingerprint
from lib.run.paths import shown
from lib.run.records import read_record
from lib.run.runs import Run


class NoDoseError(ParamsError):
    """The ladder of a run was climbed and chose nothing: em_not_induced."""

    def __init__(self, message: str, run_name: str, record: dict[str, Any]) -> None:
        super().__init__(message)
        self.run_name = run_name
        self.record = record  # what the ladder wrote


def choice_file(run: Run) -> Path:
    """The file that says which dose the ladder chose."""
    return run.ladder / "chosen.json"


def plan(profile: Profile) -> str:
    """Fingerprint of everything that a choice depends on. After a change the choice is void."""
    return fingerprint(
        {
            "model": profile.model,
            "em": profile.data.em,
            "near_field": profile.data.near_field,
            "phase2": profile.phase2,
            "ladder": profile.ladder,
        }
    )


def with_rung(profile: Profile, rung: Rung) -> Profile:
    """The profile with a rung's set and dose."""
    data = profile.data.model_copy(update={"em": rung.em})
    phase2 = profile.phase2.model_copy(update=rung.changes())
    return profile.model_copy(update={"data": data, "phase2": phase2})


def with_choice(profile: Profile, run: Run) -> Profile:
    """The profile with the dose that its ladder chose. A profile without a ladder is unchanged.

    Raises ParamsError if the ladder was not run or was run with another plan, and NoDoseError if it
    chose nothing.
    """
    if profile.ladder is None:
        return profile
    ladder_command = f"make ladder PROFILE={profile.profile} RUN={run.name}"
    path = choice_file(run)
    if not path.exists():
        raise ParamsError(
            f"the dose of Phase 2 is not chosen in run {run.name!r}; run {ladder_command}, or "
            "train the plan's own: OVERRIDES='{\"ladder\": null}'"
        )
    record = read_record(path)
    if record["plan"] != plan(profile):
        raise ParamsError(
            f"the ladder of run {run.name!r} was run with another model, phase2, EM set or list of "
            f"rungs than profile {profile.profile!r} has now; run {ladder_command} again"
        )
    if record["chosen"] is None:
        raise NoDoseError(
            f"the ladder of run {run.name!r} chose no dose ({record['reason']}); its table is "
            f"{shown(path.parent / 'table.csv')}; add stronger rungs or another EM set, and "
            f"{ladder_command}",
            run.name,
            record,
        )
    rungs = {rung.name: rung for rung in profile.ladder.rungs}
    return with_rung(profile, rungs[record["chosen"]])
