"""One complete seed, from traces to report, on every GPU of a host: where each minute goes.

    python benchmarks/whole_run.py PROFILE RUN [OVERRIDES]

It runs the notebooks that `make report` runs, with papermill, each on one free GPU. A stage that
was finished is not repeated, so the same command continues after a stop. The table at the end, also
written to runs/RUN/whole_run.json, has each stage's seconds. Their sum is the GPU time; without
set-up of the host. A profile with a ladder needs `make ladder` first.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from lib.config.experiment import Experiment
from lib.config.params import ROOT, load_profile
from lib.run.dose import with_choice
from lib.run.files import read_json, write_json
from lib.run.plan import Plan
from lib.run.runs import Run

POLL = 0.5  # seconds between looks at the running stages


@dataclass
class Job:
    """One stage."""

    name: str
    command: list[str]
    needs: set[str] = field(default_factory=set)


def notebook_job(stage: str, arms: str, plan: Plan, given: list[str], needs: set[str]) -> Job:
    """The papermill call of a stage, as the Snakefile makes it."""
    profile, run, overrides = given
    notebook = stage.split(".")[0]
    made = Run(run).dir / "notebooks" / f"{plan.executed(stage)}.ipynb"
    made.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--log-level", "ERROR"]
    command += [f"notebooks/{notebook}.ipynb", str(made), "--cwd", "notebooks"]
    command += ["-r", "profile", profile, "-r", "run", run, "-r", "overrides", overrides]
    command += ["-p", "seed", str(plan.experiment.seeds[0])]
    if arms:
        command += ["-p", "condition", arms]
    return Job(stage, command, needs)


def divided(arms: list[str], parts: int) -> list[list[str]]:
    """Arms in at most `parts` groups of nearly equal size, each in the given order."""
    parts = min(parts, len(arms))
    edges = [round(len(arms) * part / parts) for part in range(parts + 1)]
    return [arms[start:stop] for start, stop in itertools.pairwise(edges)]


def jobs_of(plan: Plan, given: list[str], gpus: int) -> list[Job]:
    """Every stage of the run's first seed."""
    experiment = plan.experiment
    seed = experiment.seeds[0]
    first = "01_build_traces"
    jobs = [notebook_job(first, "", plan, given, set())]
    trained_by_kind: dict[str, str] = {}
    phase2 = []
    for arm in plan.arms:
        needs = {first}
        kind = experiment.phase1_kind(arm)
        if kind:
            # Arms of one kind share an adapter: the first one trains it, the others find it.
            stage = f"02_phase1_sft.{arm}.seed{seed}"
            before = {trained_by_kind[kind]} if kind in trained_by_kind else {first}
            jobs.append(notebook_job(stage, arm, plan, given, before))
            trained_by_kind.setdefault(kind, stage)
            needs = {stage}
        if experiment.has_adapter(arm):
            stage = f"03_phase2_em.{arm}.seed{seed}"
            phase2.append(notebook_job(stage, arm, plan, given, needs))
    jobs += phase2
    trained = {job.name for job in phase2}
    sampled = set()
    for number, arms in enumerate(divided(plan.arms, gpus)):
        stage = f"04_sample_and_capability.{'all' if gpus == 1 else f'part{number + 1}'}.seed{seed}"
        own = {name for name in trained if name.split(".")[1] in arms}
        jobs.append(notebook_job(stage, ",".join(arms), plan, given, own | {first}))
        sampled.add(stage)
    jobs.append(notebook_job("05_judge", "", plan, given, sampled))
    jobs.append(notebook_job("06_stats_and_gates", "", plan, given, {"05_judge"}))
    report = [sys.executable, "-m", "lib.report", given[1]]
    jobs.append(Job("report", report, {"06_stats_and_gates"}))
    return jobs


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
    chosen = with_choice(load_profile(profile, overrides), Run(run))
    gpus = max(1, torch.cuda.device_count())
    plan = Plan(Experiment.of(chosen), builds=False)
    rows = run_all(jobs_of(plan, given, gpus), gpus, Run(run).dir)
    for row in rows:
        print(f"{row['stage']:50} GPU {row['gpu']} {row['seconds']:8.1f} s")
    ends = [row["start"] + row["seconds"] for row in rows]
    wall = max(ends) - min(row["start"] for row in rows)
    total = sum(row["seconds"] for row in rows)
    print(json.dumps({"wall_minutes": wall / 60, "gpu_minutes": total / 60, "gpus": gpus}))


if __name__ == "__main__":
    main()
