"""Kill a run of the pipeline at a point of its work, and compare two runs by their content."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from lib.config.params import ROOT
from lib.run.files import sha256

LOOK = 0.02  # seconds between two looks at the run's folder
WORDS = {"papermill": "papermill", "kernel": "ipykernel_launcher"}
CONTENT = ("traces/*.jsonl", "samples/*/*.parquet", "judgments/*/*.parquet", "capability/*/*.json")
WEIGHTS = "adapters/**/*.safetensors"
# What a point of a run is told: a kill -9 of one process, or a stop of the whole.
STOPS = {"SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
VICTIMS = ("runner", "papermill", "kernel")
# What names the run, the machine or the time, and what is a picture of the rest.
OWN = {"run", "attempts", "card", "figures", "judge"}


def start(run: Path, **environment: str) -> subprocess.Popen:
    """`make report` of the smoke profile for a run's folder, as a process of its own."""
    given = {"PROFILE": "smoke", "RUN": run.name, "SELFCORRECT_RUNS_DIR": str(run.parent)}
    return subprocess.Popen(
        [sys.executable, "-m", "lib.pipeline"],
        cwd=ROOT,
        env=os.environ | given | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_heed_signals,
    )


def _heed_signals() -> None:
    """In a new process: a suite that a shell started in the background may ignore some."""
    for number in STOPS.values():
        signal.signal(number, signal.SIG_DFL)


def finish(run: Path, **environment: str) -> str:
    """Run to the end; returns what was printed."""
    process = start(run, **environment)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed[-4000:]
    return printed


def kill(run: Path, victim: str, after: int, **environment: str) -> bool:
    """Start, and kill -9 the runner, papermill or a kernel after that many changes of the folder.

    A victim of STOPS is the runner, which gets that signal instead.

    Returns whether it was killed; a run may end before. What is left of the process is waited for.
    """
    process = start(run, **environment)
    root = psutil.Process(process.pid)
    for changes, _ in enumerate(seen(run, process), start=1):
        target = _find(root, victim) if changes >= after else None
        if target is not None:
            target.send_signal(STOPS.get(victim, signal.SIGKILL))
            process.communicate()
            _wait_for_the_lock(run)
            return True
    process.communicate()
    return False


def seen(run: Path, process: subprocess.Popen) -> Iterator[None]:
    """Yields at every change of a run's files, until the process ends."""
    before = None
    while process.poll() is None:
        now = _sizes(run)
        if now != before:
            before = now
            yield
        time.sleep(LOOK)


def _sizes(run: Path) -> dict[str, int]:
    sizes = {}
    for path in run.rglob("*"):
        try:
            sizes[str(path)] = path.stat().st_size
        except OSError:  # gone since
            continue
    return sizes


def _find(root: psutil.Process, victim: str) -> psutil.Process | None:
    if victim not in WORDS:
        return root
    try:
        family = root.children(recursive=True)
        return next((one for one in family if WORDS[victim] in " ".join(one.cmdline())), None)
    except psutil.Error:
        return None


def _wait_for_the_lock(run: Path) -> None:
    """What a killed runner started works on, and holds the lock, until its stage ends."""
    with (run.parent / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def points(seed: int, count: int, most: int) -> list[tuple[str, int]]:
    """Whom to kill and after how many changes, by a seed."""
    rng = random.Random(seed)
    return [(rng.choice(VICTIMS), rng.randint(1, most)) for _ in range(count)]


def kill_often(folder: Path, name: str, planned: list[tuple[str, int]], **given: str) -> list[Path]:
    """Kill at every planned point. Returns the runs: a run that ends before a kill has a successor.

    Every point is one of a run at work, so none is lost to a run that was finished already.
    """
    runs = [folder / name]
    for victim, after in planned:
        while not kill(runs[-1], victim, after, **given):
            assert len(runs) <= len(planned), f"no run lasts {after} changes"
            runs.append(folder / f"{name}-{len(runs)}")
    return runs


def content(run: Path) -> dict[str, object]:
    """Everything that a run found, by file; without what names the run, machine or time."""
    found: dict[str, object] = {}
    for pattern in (*CONTENT, WEIGHTS):
        for path in sorted(run.glob(pattern)):
            if path.name != "sampled.jsonl":  # in the order of sampling
                found[str(path.relative_to(run))] = sha256(path)
    text = (run / "stats" / "result.json").read_text(encoding="utf-8")
    result = json.loads(text.replace(run.name, "RUN"))
    found["result"] = {key: value for key, value in result.items() if key not in OWN}
    return found
