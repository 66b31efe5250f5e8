# The DAG: notebook × condition × seed, each rule one `papermill` call. Snakemake decides what runs; the notebooks decide,
# by their manifests, what of it is still to do, so a killed run goes on where it stopped.
import json
import shlex
import sys

from lib.params import load_profile

PROFILE = config.get("profile", "demo")
RUN = config.get("run", PROFILE)
OVERRIDES = config.get("overrides", {})  # Snakemake has parsed the JSON already
P = load_profile(PROFILE, OVERRIDES)
ARMS = ["all"] if P.together else P.conditions
SEEDS = P.seeds
DONE = f"runs/{RUN}/.done"
COMMON = ["params/conditions.yaml", "params/data.yaml", f"params/{PROFILE}.yaml"]
BY_ARM = ("02_phase1_sft", "03_phase2_em", "04_sample_and_capability")
STAGES = [
    "01_build_traces",
    *(f"{notebook}.{arm}.seed{seed}" for seed in SEEDS for notebook in BY_ARM for arm in ARMS),
    "05_judge", "06_stats_and_gates", "report",
]


def announce(name):
    return f"echo 'stage {STAGES.index(name) + 1} of {len(STAGES)}: {name}'"


def papermill(notebook, wildcards=None):
    """The command of one stage. Its executed notebook is no Snakemake output, so it stays to be read when it fails."""
    by_arm = wildcards is not None
    name = f"{notebook}.{wildcards.arm}.seed{wildcards.seed}" if by_arm else notebook
    executed = notebook if P.together and len(SEEDS) == 1 else name
    arm = f"-p condition {wildcards.arm} -p seed {wildcards.seed}" if by_arm else f"-p seed {SEEDS[0]}"
    return (
        f"{announce(name)} && mkdir -p runs/{RUN}/notebooks && {sys.executable} -m papermill --no-progress-bar "
        f"--log-level ERROR notebooks/{notebook}.ipynb runs/{RUN}/notebooks/{executed}.ipynb --cwd notebooks "
        f"-p profile {PROFILE} -p run {RUN} {arm} -p overrides {shlex.quote(json.dumps(OVERRIDES))}"
    )


rule report:
    input: f"reports/{RUN}/index.html"


rule site:
    input: f"{DONE}/06_stats_and_gates"
    output: f"reports/{RUN}/index.html"
    params: announce=announce("report"), python=sys.executable
    shell: f"{{params.announce}} && {{params.python}} -m lib.report {RUN}"


# Every job takes all cores: Snakemake would otherwise hold it, and so PyTorch in it, to one thread.
rule build_traces:
    input: *COMMON, "params/gates.yaml", notebook="notebooks/01_build_traces.ipynb"
    output: touch(f"{DONE}/01_build_traces")
    threads: workflow.cores
    params: command=papermill("01_build_traces")
    shell: "{params.command}"


rule phase1:
    input: *COMMON, rules.build_traces.output, notebook="notebooks/02_phase1_sft.ipynb"
    output: touch(f"{DONE}/02_phase1_sft.{{arm}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda wildcards: papermill("02_phase1_sft", wildcards)
    shell: "{params.command}"


rule phase2:
    input: *COMMON, rules.phase1.output, notebook="notebooks/03_phase2_em.ipynb"
    output: touch(f"{DONE}/03_phase2_em.{{arm}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda wildcards: papermill("03_phase2_em", wildcards)
    shell: "{params.command}"


rule sample:
    input: *COMMON, rules.phase2.output, notebook="notebooks/04_sample_and_capability.ipynb"
    output: touch(f"{DONE}/04_sample_and_capability.{{arm}}.seed{{seed}}")
    threads: workflow.cores
    params: command=lambda wildcards: papermill("04_sample_and_capability", wildcards)
    shell: "{params.command}"


rule judge:
    input:
        *COMMON, "params/gates.yaml",
        expand(f"{DONE}/04_sample_and_capability.{{arm}}.seed{{seed}}", arm=ARMS, seed=SEEDS),
        notebook="notebooks/05_judge.ipynb",
    output: touch(f"{DONE}/05_judge")
    threads: workflow.cores
    params: command=papermill("05_judge")
    shell: "{params.command}"


rule stats:
    input: *COMMON, "params/gates.yaml", rules.judge.output, notebook="notebooks/06_stats_and_gates.ipynb"
    output: touch(f"{DONE}/06_stats_and_gates")
    threads: workflow.cores
    params: command=papermill("06_stats_and_gates")
    shell: "{params.command}"
