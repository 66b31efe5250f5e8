"""`make pack RUN=name` and `make unpack FILE=name.tar`: a run in one file, and back.

The first member of the file is pack.json, with the sha256 of every other one. `WEIGHTS=no` leaves
the adapters' weights out and lists their sha256; the records then still prove the chain.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.params import ROOT
from lib.packing import contents
from lib.packing.contents import WEIGHTS, PackError
from lib.run import log
from lib.run.files import atomic_path, sha256, write_json
from lib.run.paths import expanded, shown
from lib.run.runs import Run, runs_root

VERSION = 1
LISTED = "pack.json"
LONGEST_LIST = 50_000_000  # bytes of pack.json that are read
COPIED = 1 << 20  # bytes at a time
LONGEST_SHOWN = 200  # characters of a path in an error


def pack(run: Run, target: Path, *, weights: bool = True) -> dict[str, Any]:
    """Write a run's pack and return what it lists.

    Args:
        run: a run without a job at work.
        target: the tar file.
        weights: whether the adapters' weights are in it.

    Raises PackError.
    """
    if not run.manifest.exists():
        raise PackError(f"run {run.name!r} has no manifest.json; name a run that notebook 01 began")
    if log.is_at_work(run):
        raise PackError(f"run {run.name!r} is at work; pack it when make report has ended")
    listed: dict[str, Any] = {"version": VERSION, "run": run.name, "files": {}, "left_out": {}}
    for name in contents.files(run):
        path = run.dir / name
        if what := contents.fault(path):
            raise PackError(f"{shown(path)} {what}; make it again, then pack")
        part = "left_out" if path.suffix == WEIGHTS and not weights else "files"
        listed[part][name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    with atomic_path(target) as beside, tarfile.open(beside, "w") as tar:
        _add(tar, LISTED, json.dumps(listed, indent=1).encode())
        for name in listed["files"]:
            tar.add(run.dir / name, arcname=name, recursive=False, filter=_plain)
    return listed


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member without the owner's name and without times."""
    plain = tarfile.TarInfo(member.name)
    plain.size = member.size
    return plain


def unpack(source: Path, name: str | None = None) -> Run:
    """Take a pack on as a run of this checkout.

    Every file is checked against the list before the run's folder appears.

    Args:
        source: the tar file.
        name: of the run here. None: as it was called.

    Raises PackError.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            listed = _list(tar)
            run = Run(arguments.name("RUN", name or listed["run"]))
            if run.dir.exists():
                raise PackError(f"run {run.name!r} exists; give another name: RUN=NAME")
            runs_root().mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=runs_root(), prefix=".unpack-") as scratch:
                folder = Path(scratch) / "run"
                _extract(tar, listed["files"], folder)
                write_json(folder / LISTED, listed)
                folder.rename(run.dir)
    except (tarfile.TarError, OSError) as error:
        raise PackError(
            f"{source.name} cannot be read as a pack ({error}); copy it again"
        ) from None
    return run


def _list(tar: tarfile.TarFile) -> dict[str, Any]:
    """The first member, checked. Raises PackError."""
    first = tar.next()
    opened = tar.extractfile(first) if first and first.name == LISTED and first.isfile() else None
    if first is None or opened is None or first.size > LONGEST_LIST:
        raise PackError(f"the file does not begin with {LISTED}; give a file that make pack wrote")
    try:
        listed = json.loads(opened.read())
        version = listed["version"]
        for part in ("files", "left_out"):
            for name, entry in listed[part].items():
                if why := contents.why_not(name):
                    raise PackError(f"{LISTED} lists {name!r}, which {why}; make the pack again")
                str(entry["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PackError):
            raise
        raise PackError(f"{LISTED} is not a list of make pack; make the pack again") from None
    if version != VERSION:
        raise PackError(f"the pack has version {version!r}, this reads {VERSION}; pack it again")
    return listed


def _extract(tar: tarfile.TarFile, files: dict[str, Any], folder: Path) -> None:
    """Write every listed file. Raises PackError for one that is missing, unlisted or altered."""
    missing = set(files)
    while (member := tar.next()) is not None:
        if member.name not in missing or not member.isfile():
            raise PackError(f"the pack holds {member.name!r}, which is not listed; make it again")
        missing.discard(member.name)
        path = folder / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = tar.extractfile(member)
        with path.open("wb") as file:
            while opened and (chunk := opened.read(COPIED)):
                file.write(chunk)
        if sha256(path) != files[member.name]["sha256"]:
            raise PackError(f"{member.name} differs from its sha256; copy the pack again")
        if what := contents.fault(path):
            raise PackError(f"{member.name} {what}; make the pack again")
    if missing:
        raise PackError(f"{min(missing)} is listed and not in the pack; copy the pack again")


def main(command: str) -> int:
    """Pack RUN, or unpack FILE as RUN. Returns the exit code; an error is one line on stderr."""
    commands: dict[str, Callable[[], str]] = {"pack": _pack, "unpack": _unpack}
    try:
        print(commands[command]())
    except (ValueError, OSError) as error:
        print(f"make {command}: {error}", file=sys.stderr)
        return 2
    return 0


def _pack() -> str:
    run = Run(os.environ.get("RUN") or "")
    wanted = os.environ.get("WEIGHTS") or "yes"
    try:
        weights = arguments.flag("WEIGHTS", wanted)
    except ParamsError:
        raise PackError(f"WEIGHTS is {wanted!r}; give WEIGHTS=yes or WEIGHTS=no") from None
    target = ROOT / "packs" / f"{run.name}.tar"
    listed = pack(run, target, weights=weights)
    size = sum(entry["bytes"] for entry in listed["files"].values()) / 1e6
    without = f", without {len(listed['left_out'])} files of weights" if not weights else ""
    return f"{shown(target)}: {len(listed['files'])} files, {size:,.1f} MB{without}"


def _unpack() -> str:
    given = os.environ.get("FILE") or ""
    if not given:
        raise PackError("name the file: make unpack FILE=name.tar")
    source = Path(os.environ.get("CALLED_FROM") or Path.cwd(), expanded("FILE", given))
    try:
        there = source.is_file()
    except OSError:  # longer than a path may be
        there = False
    if not there:
        raise PackError(
            f"FILE is {given[:LONGEST_SHOWN]!r}, and there is no such file; give a file that "
            "make pack wrote"
        )
    run = unpack(source, os.environ.get("RUN") or None)
    return f"run {run.name}: {shown(run.dir)}; continue it with make report RUN={run.name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
