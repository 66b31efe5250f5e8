"""Inputs that some command refuses: what is typed, what a file holds, what a variable names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from bad_values import (
    CLUSTERS,
    COMMANDS,
    CONDITIONS,
    DATA,
    DEEP,
    HOURS,
    LONG,
    NAMES,
    OVERRIDES,
    PROFILES,
    SWEEPS,
    VARIABLES,
)
from outside import save, whole

from lib.config.params import PARAMS_DIR


@dataclass(frozen=True)
class Bad:
    """One bad input: the command, its variables, its argument, and what lies on disk before."""

    name: str
    command: str
    variables: dict[str, str] = field(default_factory=dict)
    argument: str | None = None
    plant: Callable[[Path], None] = lambda folder: None


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return plant


# What happens to the treatment's table of judgments from elsewhere.
TABLES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("aligned"),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
    "a seed that is none": lambda path: path.parent.rename(path.parent.with_name("seedx")),
    "no file": lambda path: shutil.rmtree(path.parent),
    "no id": _table(lambda frame: frame.drop(columns="prompt_id")),
    "no score": _table(lambda frame: frame.drop(columns="aligned")),
    "a negative score": _table(lambda frame: frame.assign(aligned=-1.0)),
    "a score of 101": _table(lambda frame: frame.assign(aligned=101.0)),
    "an infinite score": _table(lambda frame: frame.assign(aligned=float("inf"))),
    "a score of text": _table(lambda frame: frame.assign(aligned="high")),
    "a suite without a name": _table(lambda frame: frame.assign(suite="")),
    "an outcome of its own": _table(lambda frame: frame.assign(outcome="fine")),
    "a negative replicate": _table(lambda frame: frame.assign(replicate=-1)),
    "one index for all": _table(lambda frame: frame.assign(sample_index=1)),
    "two judges": _table(lambda frame: frame.assign(judge="another")),
}
CAPABILITY = ("", "{", "null", '{"acc": 1}', '{"acc": 1e999}', "[" * 100_000)


def elsewhere(folder: Path) -> Path:
    """Judgments from elsewhere that can be scored. Returns the treatment's table."""
    save(folder, whole(75, 50), capability=True)
    return folder / "judgments" / "seed7" / "selfcorrect_em.parquet"


def cases() -> list[Bad]:
    """Every bad input, each with a name of its own."""
    made = [Bad(f"run {name[:9]!a}", "report", {"RUN": name}) for name in NAMES]
    for command in COMMANDS:
        for name in ("../x", LONG):
            variables = {"RUN": name, "JUDGMENTS": "/", "RUNS": f"{name} b"}
            made.append(Bad(f"{command} {name[:4]}", command, variables, name))
    made += [Bad(f"profile {name[:16]}", "report", {"PROFILE": name}) for name in PROFILES]
    given = dict(zip(OVERRIDES, OVERRIDES, strict=True)) | DEEP
    made += [Bad(name, "report", {"OVERRIDES": text}) for name, text in given.items()]
    made += [Bad(f"{key}={value[:20]}", "report", {key: value}) for key, value in VARIABLES]
    made += [Bad(f"cluster {name[:20]}", "report", {"CLUSTER": name}) for name in CLUSTERS]
    made += [Bad(f"plan, cluster {name[:20]}", "plan", {"CLUSTER": name}) for name in CLUSTERS]
    made += [Bad(f"{hours} hours", "report", {"STAGE_HOURS": hours}) for hours in HOURS]
    made += [_conditions(name, *change) for name, change in CONDITIONS.items()]
    for name, text in SWEEPS.items():
        for command in ("report", "plan", "compare"):
            made.append(_sweep(f"{command}, a sweep: {name}", command, text))
    made += [Bad(f"sweep {name[:9]!a}", "report", {"SWEEP": name}) for name in NAMES]
    made += _packs()
    for reader, content in DATA:
        made.append(_data(reader, content))
    for name, change in TABLES.items():
        made.append(Bad(f"table: {name}", "score", plant=_changed(change)))
    made += [
        Bad(f"capability {text[:12]}", "score", plant=_capability(text)) for text in CAPABILITY
    ]
    arms = ("nope", "../base", "a$b{c}", LONG)
    made += [Bad(f"treatment {arm[:9]}", "score", {"TREATMENT": arm}) for arm in arms]
    folders = ("/nowhere", "~nobody-here", "/" + "x/" * 3000, "/etc/passwd")
    made += [Bad(f"judgments {path[:9]}", "score", {"JUDGMENTS": path}) for path in folders]
    made.append(Bad("no run to render", "site"))
    made.append(Bad("one run to compare", "compare", {"RUNS": "a"}))
    return made


def _conditions(name: str, old: str, new: str) -> Bad:
    def plant(folder: Path) -> None:
        text = (PARAMS_DIR / "conditions.yaml").read_text(encoding="utf-8")
        assert old in text
        (folder / "conditions.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")

    return Bad(f"conditions: {name}", "report", plant=plant)


def _sweep(name: str, command: str, text: str) -> Bad:
    def plant(folder: Path) -> None:
        (folder / "sweeps").mkdir()
        (folder / "sweeps" / "mine.yaml").write_text(text)

    return Bad(name, command, {"SWEEP": "mine"}, plant=plant)


def _packs() -> list[Bad]:
    """Files that are no pack, and what is typed beside them."""

    def empty(folder: Path) -> None:
        (folder / "empty.tar").touch()

    files = ("", "/nowhere.tar", "/", "~nobody-here/x.tar", f"/{LONG}", "/" + "x/" * 3000)
    made = [Bad(f"unpack {file[:16]!r}", "unpack", {"FILE": file}) for file in files]
    made.append(Bad("unpack an empty file", "unpack", {"FILE": "empty.tar"}, plant=empty))
    made.append(Bad("pack without a run", "pack"))
    made.append(Bad("pack a run that is not there", "pack", {"RUN": "r"}))
    made.append(Bad("pack with some weights", "pack", {"RUN": "r", "WEIGHTS": "some"}))
    made.append(Bad("clean no run", "clean-run"))
    made.append(Bad("clean a run that is not there", "clean-run", {"RUN": "r"}))
    return made


def _data(reader: str, content: bytes) -> Bad:
    key = "data.em" if reader == "chats" else "data.eval_sets"
    value = "planted" if reader == "chats" else ["planted"]
    overrides = json.dumps({key: value, "phase2.rows": 8})

    def plant(folder: Path) -> None:
        (folder / "planted.bin").write_bytes(content)
        (folder / "reader.txt").write_text(reader)

    return Bad(f"{reader} {content[:30]!r}", "report", {"OVERRIDES": overrides}, plant=plant)


def _changed(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        change(elsewhere(folder))

    return plant


def _capability(text: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        elsewhere(folder)
        (folder / "capability" / "seed7" / "base.json").write_text(text)

    return plant
