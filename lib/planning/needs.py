"""What each rule of the Snakefile needs of a machine: whether a GPU, and how much memory.

A cluster reserves these amounts. They are limits with room above what was measured, or above what
the weights alone take where nothing was measured.
"""

from __future__ import annotations

from lib.config.judges import second_judge
from lib.config.measurement import JudgeParams
from lib.config.schema import Profile
from lib.setup.host import MODEL_GB

TRAINS_OR_SAMPLES = ("em_set", "build_traces", "phase1", "phase2", "sample")
JUDGES = ("judge", "pilot")
SMALL_MB = 6000  # the demo's peak is 3.9 GiB (docs/benchmarks.md)
TABLES_MB = 4000  # statistics and report; they load no model
GPU_MB = 16_000  # a process with CUDA, torch and an engine; not measured
COPIES = 2  # of the weights in memory while they are loaded and added to an adapter


def gpus(rule: str, profile: Profile, available: int) -> int:
    """How many GPUs a job of the rule takes: 1 or 0.

    available: GPUs of this host. A profile that cannot run without one asks for it in any case.
    """
    if not available and not needs_gpu(profile):
        return 0
    if rule in TRAINS_OR_SAMPLES:
        return 1
    if rule not in JUDGES:
        return 0
    judges = [profile.judge, second_judge(profile)]
    if rule == "pilot":
        judges = [profile.judge]
    return int(any(judge is not None and _runs_here(judge) for judge in judges))


def needs_gpu(profile: Profile) -> bool:
    """Whether a profile cannot run on a CPU."""
    return profile.sampling.engine == "vllm" or profile.model.dtype == "bfloat16"


def memory_mb(rule: str, profile: Profile) -> int:
    """Megabytes of main memory that a job of the rule reserves."""
    if rule not in (*TRAINS_OR_SAMPLES, *JUDGES):
        return TABLES_MB
    if not needs_gpu(profile):
        return SMALL_MB
    return round(GPU_MB + COPIES * 1000 * MODEL_GB.get(profile.profile, 1))


def _runs_here(judge: JudgeParams) -> bool:
    """Whether a judge is a language model in this process. The embedded one works on the CPU."""
    return judge.engine == "probe" or (judge.engine == "local" and judge.base_url is None)
