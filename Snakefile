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
COMMON = ["params/conditions.yaml", f"params/{PROFILE}.yaml"]
TOTAL = 1 + 3 * len(ARMS) * len(SEEDS) + 3  # stages, the report included


def papermill(notebook, with_arm=True):
    """The command of one stage; its executed notebook is kept also when it fails."""
    overrides = shlex.quote(json.dumps(OVERRIDES)).replace("{", "{{").replace("}", "}}")
    suffix = "" if P.together and len(SEEDS) == 1 or not with_arm else ".{wildcards.arm}.seed{wildcards.seed}"
    arm = " -p condition {wildcards.arm} -p seed {wildcards.seed}" if with_arm else f" -p seed {SEEDS[0]}"
    return (
        f"mkdir -p runs/{RUN}/notebooks && {sys.executable} -m papermill --no-progress-bar --log-level ERROR "
        f"notebooks/{notebook}.ipynb runs/{RUN}/notebooks/{notebook}{suffix}.ipynb --cwd notebooks "
        f"-p profile {PROFILE} -p run {RUN}{arm} -p overrides {overrides}"
    )


rule report:
    input: f"reports/{RUN}/index.html"


rule site:
    input: f"{DONE}/06_stats_and_gates"
    output: f"reports/{RUN}/index.html"
    message: f"stage {TOTAL} of {TOTAL}: report"
    shell: f"{sys.executable} -m lib.report {RUN}"


rule build_traces:
    input: *COMMON, "params/gates.yaml", notebook="notebooks/01_build_traces.ipynb"
    output: touch(f"{DONE}/01_build_traces")
    message: f"stage 1 of {TOTAL}: 01_build_traces"
    shell: papermill("01_build_traces", with_arm=False)


rule phase1:
    input: *COMMON, rules.build_traces.output, notebook="notebooks/02_phase1_sft.ipynb"
    output: touch(f"{DONE}/02_phase1_sft.{{arm}}.seed{{seed}}")
    message: f"stage 2 of {TOTAL}: 02_phase1_sft, " + "{wildcards.arm}, seed {wildcards.seed}"
    shell: papermill("02_phase1_sft")


rule phase2:
    input: *COMMON, rules.phase1.output, notebook="notebooks/03_phase2_em.ipynb"
    output: touch(f"{DONE}/03_phase2_em.{{arm}}.seed{{seed}}")
    message: f"stage 3 of {TOTAL}: 03_phase2_em, " + "{wildcards.arm}, seed {wildcards.seed}"
    shell: papermill("03_phase2_em")


rule sample:
    input: *COMMON, rules.phase2.output, notebook="notebooks/04_sample_and_capability.ipynb"
    output: touch(f"{DONE}/04_sample_and_capability.{{arm}}.seed{{seed}}")
    message: f"stage 4 of {TOTAL}: 04_sample_and_capability, " + "{wildcards.arm}, seed {wildcards.seed}"
    shell: papermill("04_sample_and_capability")


rule judge:
    input:
        *COMMON, "params/gates.yaml",
        expand(f"{DONE}/04_sample_and_capability.{{arm}}.seed{{seed}}", arm=ARMS, seed=SEEDS),
        notebook="notebooks/05_judge.ipynb",
    output: touch(f"{DONE}/05_judge")
    message: f"stage {TOTAL - 2} of {TOTAL}: 05_judge"
    shell: papermill("05_judge", with_arm=False)


rule stats:
    input: *COMMON, "params/gates.yaml", rules.judge.output, notebook="notebooks/06_stats_and_gates.ipynb"
    output: touch(f"{DONE}/06_stats_and_gates")
    message: f"stage {TOTAL - 1} of {TOTAL}: 06_stats_and_gates"
    shell: papermill("06_stats_and_gates", with_arm=False)
