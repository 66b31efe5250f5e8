# The DAG: run × notebook × seed × condition, each rule one `papermill` call. Snakemake decides what
# runs. The notebooks decide by their manifests what is still to do, so a killed run continues where
# it stopped. A sweep (SWEEP) has several runs, anything else one.
import json
import os
import re
import shlex
import sys
from pathlib import Path

from lib.config.arguments import ParamsError
from lib.planning import clusters, needs
from lib.planning.planned_run import comparison, named_runs
from lib.run.paths import shown
from lib.run.runs import runs_root


def given(key):
    """A parameter exactly as it was typed, or None.

    It comes from the environment, since --config reads 1.10, 007 and true as numbers.
    """
    value = config.get(key.lower(), os.environ.get(key))
    if value is not None and not isinstance(value, str):
        raise ParamsError(
            f"--config {key.lower()} was read as {value!r}; give it in the environment: "
            f"{key}=VALUE snakemake …"
        )
    return value


try:
    # How many GPUs share the work. It decides the names of stages, so it is a parameter: a job of a
    # cluster reads this file on another host.
    GPUS = int(config.get("gpus", 1))
    TYPED = {key: given(key) for key in ("SWEEP", "PROFILE", "RUN", "OVERRIDES")}
    PLANNED = named_runs({key: value for key, value in TYPED.items() if value is not None}, GPUS)
    ROOT = shown(runs_root())
    HERE = len(clusters.gpus_here())
except (ParamsError, ValueError) as error:
    raise SystemExit(f"Snakefile: {error}")
RUNS = {one.run.name: one for one in PLANNED}
DONE = f"{ROOT}/{{run}}/.done"
PILOT = f"{ROOT}/{{run}}/pilot/result.json"
# Snakemake would otherwise hold a job, and so PyTorch in it, to one thread.
CORES = clusters.cores(config, workflow.resource_settings.cores)
SHARE = clusters.cores(config, workflow.resource_settings.cores, GPUS)


wildcard_constraints:
    run="|".join(map(re.escape, RUNS)),
    seed=r"\d+",


def announce(run, name):
    """A command that prints which stage begins."""
    number, total = RUNS[run].number(name)
    of_run = "" if len(RUNS) == 1 else f"run {run}, "
    return f"echo {shlex.quote(f'{of_run}stage {number} of {total}: {name}')}"


def on_gpu(run, rule):
    """What a command begins with if its job needs a GPU; the same on every host."""
    needed = needs.gpus(rule, RUNS[run].profile, available=1)
    return [sys.executable, "-m", "lib.run.gpus"] if needed else []


def papermill(run, rule, stage):
    """The command of a stage that is a notebook.

    Its executed notebook is not an output of Snakemake, so it is kept and can be read if it fails.
    """
    one = RUNS[run]
    command = [*on_gpu(run, rule), sys.executable, *one.papermill(stage)]
    folder = shlex.quote(str(one.executed(stage).parent))
    return f"{announce(run, stage)} && mkdir -p {folder} && {shlex.join(command)}"


def module(run, rule, name):
    """The command of a stage that is a module, which takes run, profile and overrides."""
    one = RUNS[run]
    program = [*on_gpu(run, rule), sys.executable, "-m", name]
    values = [run, one.profile.profile, one.overrides]
    return f"{announce(run, rule)} && {shlex.join([*program, *values])}"


def gpu(rule):
    """How many GPUs a job of the rule takes."""
    return lambda w: needs.gpus(rule, RUNS[w.run].profile, HERE)


def memory(rule):
    """Megabytes of main memory that a job of the rule reserves."""
    return lambda w: needs.memory_mb(rule, RUNS[w.run].profile)


def parameters(w):
    """The parameter files of a run."""
    return RUNS[w.run].files


def waits_for(stage):
    """A rule's input: what a stage of its run waits for (lib/run/plan.py)."""

    def files(w):
        stages = RUNS[w.run].plan.waits_for(stage.format(**dict(w.items())))
        folder = f"{ROOT}/{w.run}/.done"
        return [PILOT.format(run=w.run) if name == "pilot" else f"{folder}/{name}" for name in stages]

    return files


def verdict(w):
    """What the report waits for: notebook 06, or only the pilot if it stopped the run."""
    if RUNS[w.run].profile.stop_at_gate1:
        pilot = checkpoints.pilot.get(run=w.run).output[0]
        if json.loads(Path(pilot).read_text())["stop"]:
            return pilot
    return waits_for("report")(w)


SITES = [f"reports/{run}/index.html" for run in RUNS]
COMPARED = [str(comparison(PLANNED))] if len(RUNS) > 1 else []


rule report:
    input: COMPARED or SITES


if COMPARED:

    rule comparison:
        input: SITES
        output: COMPARED
        resources: mem_mb=needs.TABLES_MB
        params: command=shlex.join([sys.executable, "-m", "lib.report.compare", *RUNS])
        shell: "{params.command}"


rule site:
    input: verdict
    output: "reports/{run}/index.html"
    resources: mem_mb=memory("site")
    params:
        command=lambda w: " && ".join(
            [announce(w.run, "report"), shlex.join([sys.executable, "-m", "lib.report", w.run])]
        ),
    shell: "{params.command}"


# Sets that are built for the run come first: notebook 01 shows them and keeps traces apart from them.
rule em_set:
    input: parameters, "params/gates.yaml"
    output: touch(f"{DONE}/em_set")
    threads: SHARE
    resources: gpu=gpu("em_set"), mem_mb=memory("em_set")
    params: command=lambda w: module(w.run, "em_set", "lib.em_sets")
    shell: "{params.command}"


rule build_traces:
    input:
        parameters,
        "params/gates.yaml",
        waits_for("01_build_traces"),
        notebook="notebooks/01_build_traces.ipynb",
    output: touch(f"{DONE}/01_build_traces")
    threads: SHARE
    resources: gpu=gpu("build_traces"), mem_mb=memory("build_traces")
    params: command=lambda w: papermill(w.run, "build_traces", "01_build_traces")
    shell: "{params.command}"


rule phase1:
    input:
        parameters,
        waits_for("02_phase1_sft.{arm}.seed{seed}"),
        notebook="notebooks/02_phase1_sft.ipynb",
    output: touch(f"{DONE}/02_phase1_sft.{{arm}}.seed{{seed}}")
    threads: SHARE
    resources: gpu=gpu("phase1"), mem_mb=memory("phase1")
    params: command=lambda w: papermill(w.run, "phase1", f"02_phase1_sft.{w.arm}.seed{w.seed}")
    shell: "{params.command}"


rule phase2:
    input:
        parameters,
        waits_for("03_phase2_em.{arm}.seed{seed}"),
        notebook="notebooks/03_phase2_em.ipynb",
    output: touch(f"{DONE}/03_phase2_em.{{arm}}.seed{{seed}}")
    threads: SHARE
    resources: gpu=gpu("phase2"), mem_mb=memory("phase2")
    params: command=lambda w: papermill(w.run, "phase2", f"03_phase2_em.{w.arm}.seed{w.seed}")
    shell: "{params.command}"


rule sample:
    input:
        parameters,
        "params/gates.yaml",
        waits_for("04_sample_and_capability.{group}.seed{seed}"),
        notebook="notebooks/04_sample_and_capability.ipynb",
    output: touch(f"{DONE}/04_sample_and_capability.{{group}}.seed{{seed}}")
    threads: SHARE
    resources: gpu=gpu("sample"), mem_mb=memory("sample")
    params:
        command=lambda w: papermill(
            w.run, "sample", f"04_sample_and_capability.{w.group}.seed{w.seed}"
        ),
    shell: "{params.command}"


checkpoint pilot:
    input:
        parameters,
        "params/gates.yaml",
        waits_for("pilot"),
    output: PILOT
    threads: SHARE
    resources: gpu=gpu("pilot"), mem_mb=memory("pilot")
    params: command=lambda w: module(w.run, "pilot", "lib.pilot")
    shell: "{params.command}"


rule judge:
    input:
        parameters,
        "params/gates.yaml",
        waits_for("05_judge"),
        notebook="notebooks/05_judge.ipynb",
    output: touch(f"{DONE}/05_judge")
    threads: SHARE
    resources: gpu=gpu("judge"), mem_mb=memory("judge")
    params: command=lambda w: papermill(w.run, "judge", "05_judge")
    shell: "{params.command}"


rule stats:
    input:
        parameters,
        "params/gates.yaml",
        waits_for("06_stats_and_gates"),
        notebook="notebooks/06_stats_and_gates.ipynb",
    output: touch(f"{DONE}/06_stats_and_gates")
    threads: CORES
    resources: mem_mb=memory("stats")
    params: command=lambda w: papermill(w.run, "stats", "06_stats_and_gates")
    shell: "{params.command}"
