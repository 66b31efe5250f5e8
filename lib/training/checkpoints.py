"""Checkpoints of a training: tensors as safetensors, everything else as JSON, never a pickle.

A checkpoint has a record with the sha256 of its files, which is written last. What is newest or
oldest is read from the step in a checkpoint's name: a clock may be set back.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lib.run.files import read_json, sha256, write_json
from lib.run.records import RecordError, read_record, write_record
from lib.training.memory import TrainingError

RECORD = "checkpoint.json"
OPTIMIZER = "optimizer.safetensors"
SCHEDULE = "schedule.json"
RANDOM = "random.safetensors"
RANDOM_STATE = "random.json"
KEPT = 2  # the newest ones of a training


def save_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Write the state of optimizer and learning-rate schedule."""
    state = optimizer.state_dict()
    tensors = {}
    for number, of_parameter in state["state"].items():
        for name, value in of_parameter.items():
            tensors[f"{number}.{name}"] = value.detach().cpu().contiguous()
    save_file(tensors, folder / OPTIMIZER)
    groups = {"groups": state["param_groups"], "scheduler": scheduler.state_dict()}
    write_json(folder / SCHEDULE, groups)


def load_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Read what `save_optimizer` wrote. Raises TrainingError if it is not there."""
    if not (folder / OPTIMIZER).exists():
        raise TrainingError(
            f"{folder.name} has no {OPTIMIZER}; an earlier version of the project wrote it as a "
            "pickle, which is not read: delete the checkpoint, and the training begins anew"
        )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / OPTIMIZER).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    saved = read_json(folder / SCHEDULE)
    groups = [group | {"betas": tuple(group["betas"])} for group in saved["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    scheduler.load_state_dict(saved["scheduler"])


def save_random(folder: Path) -> None:
    """Write the state of every random generator."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, folder / RANDOM)
    kind, keys, *rest = np.random.get_state(legacy=True)
    numpy_state = [kind, np.asarray(keys).tolist(), *rest]
    write_json(folder / RANDOM_STATE, {"python": random.getstate(), "numpy": numpy_state})


def load_random(folder: Path) -> None:
    """Set every random generator as `save_random` found it."""
    states = load_file(folder / RANDOM)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    saved = read_json(folder / RANDOM_STATE)
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = saved["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))


def finish(folder: Path) -> None:
    """Write a checkpoint's record, and remove the older checkpoints of its training."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != RECORD}
    write_record(folder / RECORD, {"files": files})
    older = sorted(folder.parent.glob("checkpoint-*"), key=_step)
    for path in older[:-KEPT]:
        if _step(path) < _step(folder):
            shutil.rmtree(path)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a training, or None.

    One that a kill cut off has no trainer's state, or no record yet of that state; one that was
    changed since differs from its record. Both are left aside.
    """
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_bytes())
            step = state["global_step"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if altered := _altered(path):
            print(f"{path.name} is not used: {altered} was changed or cut off")
        else:
            whole.append((step, path))
    return max(whole)[1] if whole else None


def _altered(folder: Path) -> str | None:
    """The first file of a checkpoint that is not as its record says; None if all are."""
    record = folder / RECORD
    if not record.exists():  # killed before it was written, when all other files were complete
        return None
    try:
        files: Mapping[str, str] = read_record(record)["files"]
    except RecordError:
        return RECORD
    for name, digest in files.items():
        if not (folder / name).exists() or sha256(folder / name) != digest:
            return name
    return None


def _step(folder: Path) -> int:
    """The step in a checkpoint's name; -1 for a folder that only looks like one."""
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1
