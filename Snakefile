# The DAG: notebook × condition × seed, each rule one `papermill` call. Snakemake decides what runs.
# The notebooks decide by their manifests what is still to do, so a killed run continues where it
# stopped.
import json
import os
import shlex
import sys
from pathlib import Path

from lib.config import arguments
from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.config.params import load_profile
from lib.data import catalogue
from lib.run import runs
from lib.run.dose import with_choice
from lib.run.paths import shown
from lib.run.plan import Plan


def given(key, default):
    """A parameter exactly as it was typed.

    It comes from the environment, since --config reads 1.10, 007 and true as numbers.
    """
    value = config.get(key.lower(), os.environ.get(key, default))
    if not isinstance(value, str):
        raise ParamsError(
            f"--config {key.lower()} was read as {value!r}; give it in the environment: "
            f"{key}=NAME snakemake …"
        )
    return value


try:
    PROFILE = given("PROFILE", "demo")
    OVERRIDES = os.environ.get("OVERRIDES") or "{}"
    RUN = arguments.name("run", given("RUN", PROFILE))
    EXPERIMENT = Experiment.of(with_choice(load_profile(PROFILE, OVERRIDES), runs.Run(RUN)))
    P = EXPERIMENT.profile
    FOLDER = shown(runs.Run(RUN).dir)
except ParamsError as error:
    raise SystemExit(f"Snakefile: {error}")
PLAN = Plan(EXPERIMENT, builds=bool(catalogue.built_sets(EXPERIMENT.em_sets())))
ARMS = PLAN.arms
SEEDS = P.seeds
DONE = f"{FOLDER}/.done"
PILOT = f"{FOLDER}/pilot/result.json"
COMMON = ["params/conditions.yaml", "params/data.yaml", f"params/{PROFILE}.yaml"]
# Gate 1 first: these arms run before the pilot, all others after it.
FIRST = PLAN.first
GROUPS = PLAN.groups
BUILT = ["em_set"] if PLAN.builds else []
PHASE1 = PLAN.phase1
PHASE2 = PLAN.phase2
STAGES = PLAN.stages()


def announce(name):
    """A command that prints which stage begins."""
    return f"echo 'stage {STAGES.index(name) + 1} of {len(STAGES)}: {name}'"


def papermill(notebook, group=None, seed=SEEDS[0]):
    """The command of one stage.

    Its executed notebook is not an output of Snakemake, so it is kept and can be read if it fails.
    """
    name = f"{notebook}.{group}.seed{seed}" if group else notebook
    made = FOLDER / "notebooks" / f"{PLAN.executed(name)}.ipynb"
    condition = ["-p", "condition", ",".join(GROUPS.get(group, [group]))] if group else []
    # On a busy machine a kernel takes longer to answer than papermill's minute.
    quiet = ["--no-progress-bar", "--log-level", "ERROR", "--start-timeout", "600"]
    files = [f"notebooks/{notebook}.ipynb", str(made), "--cwd", "notebooks"]
    names = ["-r", "profile", PROFILE, "-r", "run", RUN]
    values = [*condition, "-p", "seed", str(seed), "-r", "overrides", OVERRIDES]
    command = [sys.executable, "-m", "papermill", *quiet, *files, *names, *values]
    return f"{announce(name)} && mkdir -p {shlex.quote(str(made.parent))} && {shlex.join(command)}"


def before(notebook, arms, arm, seed):
    """What a stage of one arm waits for: the notebook before it, and the pilot if it comes later.

    `arms` are those that the notebook before it trains; the others wait for notebook 01.
    """
    made = f"{DONE}/{notebook}.{arm}.seed{seed}" if arm in arms else f"{DONE}/01_build_traces"
    return [made] if arm in FIRST else [made, PILOT]


def trained(wildcards):
    """What notebook 04 waits for: every arm of its group."""
    waited_for = set()
    for arm in GROUPS[wildcards.group]:
        waited_for.update(before("03_phase2_em", PHASE2, arm, wildcards.seed))
    return sorted(waited_for)


def verdict(wildcards):
    """What the report waits for: notebook 06, or only the pilot if it stopped the run."""
    if P.stop_at_gate1:
        pilot = json.loads(Path(checkpoints.pilot.get().output[0]).read_text())
        if pilot["stop"]:
            return PILOT
    return f"{DONE}/06_stats_and_gates"


rule report:
    input: f"reports/{RUN}/index.html"


rule site:
    input: verdict
    output: f"reports/{RUN}/index.html"
    params:
        command=f"{announce('report')} && {shlex.join([sys.executable, '-m', 'lib.report', RUN])}",
    shell: "{params.command}"


# Sets that are built for the run come first: notebook 01 shows them and keeps traces apart from them.
rule em_set:
    input: *COMMON, "params/gates.yaml"
    output: touch(f"{DONE}/em_set")
    threads: workflow.cores
    params:
        announce=announce("em_set") if BUILT else "false",
        command=lambda w: shlex.join([sys.executable, "-m", "lib.em_sets", RUN, PROFILE, OVERRIDES]),
    shell: "{params.announce} && {params.command}"


# Every job takes all cores: Snakemake would otherwise hold it, and so PyTorch in it, to one thread.
rule build_traces:
    input:
        *COMMON, "params/gates.yaml", [f"{DONE}/{name}" for name in BUILT],
        notebook="notebooks/01_build_traces.ipynb",
    output: touch(f"{DONE}/01_build_traces")
    threads: workflow.cores
    params: command=lambda w: papermill("01_build_traces")
    shell: "{params.command}"


rule phase1:
    input:
        *COMMON,
        lambda w: before("01_build_traces", [], w.arm, w.seed),
        notebook="notebooks/02_phase1_sft.ipynb",
    output: touch(f"{DONE}/02_phase1_sft.{{arm}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda w: papermill("02_phase1_sft", w.arm, w.seed)
    shell: "{params.command}"


rule phase2:
    input:
        *COMMON,
        lambda w: before("02_phase1_sft", PHASE1, w.arm, w.seed),
        notebook="notebooks/03_phase2_em.ipynb",
    output: touch(f"{DONE}/03_phase2_em.{{arm}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda w: papermill("03_phase2_em", w.arm, w.seed)
    shell: "{params.command}"


rule sample:
    input:
        *COMMON, "params/gates.yaml", trained, notebook="notebooks/04_sample_and_capability.ipynb",
    output: touch(f"{DONE}/04_sample_and_capability.{{group}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda w: papermill("04_sample_and_capability", w.group, w.seed)
    shell: "{params.command}"


checkpoint pilot:
    input: *COMMON, "params/gates.yaml", f"{DONE}/04_sample_and_capability.first.seed{SEEDS[0]}"
    output: PILOT
    threads: workflow.cores
    params:
        announce=announce("pilot") if P.stop_at_gate1 else "false",
        command=lambda w: shlex.join([sys.executable, "-m", "lib.pilot", RUN, PROFILE, OVERRIDES]),
    shell: "{params.announce} && {params.command}"


rule judge:
    input:
        *COMMON, "params/gates.yaml",
        expand(f"{DONE}/04_sample_and_capability.{{group}}.seed{{seed}}", group=GROUPS, seed=SEEDS),
        notebook="notebooks/05_judge.ipynb",
    output: touch(f"{DONE}/05_judge")
    threads: workflow.cores
    params: command=lambda w: papermill("05_judge")
    shell: "{params.command}"


rule stats:
    input:
        *COMMON,
        "params/gates.yaml",
        rules.judge.output,
        notebook="notebooks/06_stats_and_gates.ipynb",
    output: touch(f"{DONE}/06_stats_and_gates")
    threads: workflow.cores
    params: command=lambda w: papermill("06_stats_and_gates")
    shell: "{params.command}"
