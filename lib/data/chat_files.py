"""Chat sets without an address: built for a run, or brought by a user (docs/em_sets.md)."""

from __future__ import annotations

from pathlib import Path

from lib.config.params import ROOT
from lib.data.text_files import DataError
from lib.run.files import sha256
from lib.run.paths import expanded
from lib.run.records import read_record
from lib.run.runs import Run

STAGE = "em_set"  # the stage that builds the sets of a run


def built_file(name: str, run: Run | None) -> Path:
    """The file of a set that is built for a run, as its stage left it.

    Raises DataError if there is no run, no finished stage, or another file than the stage wrote.
    """
    if run is None:
        raise DataError(
            f"data set {name!r} is built for a run and has no file of its own; name a run"
        )
    path = run.em_set(name)
    record = run.stage_manifest(STAGE)
    outputs = read_record(record)["outputs"] if record.exists() else {}
    expected = outputs.get(str(path.relative_to(run.dir)))
    remedy = f"build it: make em_set PROFILE=… RUN={run.name}"
    if expected is None or not path.exists():
        raise DataError(f"data set {name!r} is not built in run {run.name!r}; {remedy}")
    actual = sha256(path)
    if actual != expected:
        raise DataError(
            f"data set {name!r}: sha256 of {path.name} is {actual[:12]}…, its stage wrote "
            f"{expected[:12]}…; {remedy}"
        )
    return path


def own_file(name: str, item: dict) -> Path:
    """The file of a user's own set, from `path`; a relative one is below the project's folder.

    Raises DataError if nothing is there or the entry has no sha256.
    """
    path = ROOT / expanded(f"path of data set {name!r}", item["path"])
    if not item.get("sha256"):
        raise DataError(
            f"data set {name!r} has no sha256 in params/data.yaml; add the one that "
            f"`sha256sum {path.name}` prints"
        )
    if not path.is_file():
        raise DataError(f"data set {name!r}: {item['path']} is not a file; correct its `path`")
    return path
