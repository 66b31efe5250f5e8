"""A whole run, from traces to report, on every GPU of a host: where each minute goes.

    python benchmarks/whole_run.py PROFILE RUN [OVERRIDES]

It runs the stages that `make report` runs, without Snakemake, each on one free GPU. A stage that
was finished is not repeated, so the same command continues after a stop. The table at the end, also
written to runs/RUN/whole_run.json, has each stage's seconds. Their sum is the GPU time; without
set-up of the host. A profile with a ladder needs `make ladder` first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from lib.config.params import ROOT
from lib.planning.planned_run import PlannedRun, planned_run
from lib.run.files import read_json, write_json
from lib.run.plan import REPORT

POLL = 0.5  # seconds between looks at the running stages


@dataclass
class Job:
    """One stage."""

    name: str
    command: list[str]
    needs: set[str] = field(default_factory=set)


def job_of(stage: str, one: PlannedRun) -> Job:
    """The call of a stage, as the Snakefile makes it."""
    if one.plan.executed(stage):
        one.executed(stage).parent.mkdir(parents=True, exist_ok=True)
        command = one.papermill(stage)
    elif stage == REPORT:
        command = ["-m", "lib.report", one.run.name]
    else:
        command = ["-m", "lib.em_sets", one.run.name, one.profile.profile, one.overrides]
    return Job(stage, [sys.executable, *command], set(one.plan.waits_for(stage)))


def run_all(jobs: list[Job], gpus: int, folder: Path) -> list[dict]:
    """Run every job when what it needs is done and a GPU is free. Returns a row per stage.

    A stage that fails lets the running ones end; then the program stops.
    """
    record = folder / "whole_run.json"
    rows: list[dict] = read_json(record) if record.exists() else []
    done = {row["stage"] for row in rows}
    waiting = [job for job in jobs if job.name not in done]
    free = list(range(gpus))
    running: dict[str, tuple[subprocess.Popen, int, float]] = {}
    failed = ""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    while running or (waiting and not failed):
        for job in list(waiting):
            if failed or not free or not job.needs <= done:
                continue
            gpu = free.pop(0)
            waiting.remove(job)
            env = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}
            print(f"{time.strftime('%H:%M:%S')} GPU {gpu}: {job.name}", flush=True)
            with (logs / f"{job.name}.log").open("w") as log:
                process = subprocess.Popen(job.command, cwd=ROOT, env=env, stdout=log, stderr=log)
            running[job.name] = (process, gpu, time.time())
        time.sleep(POLL)
        for name, (process, gpu, started) in list(running.items()):
            code = process.poll()
            if code is None:
                continue
            del running[name]
            free.append(gpu)
            seconds = round(time.time() - started, 1)
            print(f"{time.strftime('%H:%M:%S')} {name}: {seconds} s, exit {code}", flush=True)
            if code:
                failed = name
                continue
            done.add(name)
            rows.append({"stage": name, "gpu": gpu, "seconds": seconds, "start": started})
            write_json(record, rows)
    if failed:
        print((logs / f"{failed}.log").read_text(errors="replace")[-3000:])
        raise SystemExit(f"whole_run: {failed} failed; mend it and call the same command again")
    return rows


def main() -> None:
    given = [*sys.argv[1:], "{}"][:3]
    if len(given) < 3:
        raise SystemExit("usage: python benchmarks/whole_run.py PROFILE RUN [OVERRIDES]")
    profile, run, overrides = given
    gpus = max(1, torch.cuda.device_count())
    one = planned_run(profile, overrides, run, gpus)
    if one.profile.stop_at_gate1:
        raise SystemExit("whole_run: set stop_at_gate1 to false; a pilot divides the run")
    jobs = [job_of(stage, one) for stage in one.plan.stages()]
    rows = run_all(jobs, gpus, one.run.dir)
    for row in rows:
        print(f"{row['stage']:50} GPU {row['gpu']} {row['seconds']:8.1f} s")
    ends = [row["start"] + row["seconds"] for row in rows]
    wall = max(ends) - min(row["start"] for row in rows)
    total = sum(row["seconds"] for row in rows)
    print(json.dumps({"wall_minutes": wall / 60, "gpu_minutes": total / 60, "gpus": gpus}))


if __name__ == "__main__":
    main()
