"""A Slurm cluster of one node on this machine: its daemons run in a folder of a test."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from lib.run.watched import end_with_parent

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol")
PLUGIN = "snakemake_executor_plugin_slurm"
SBIN = "/usr/sbin"
STEP = "slurmstepd"
PATIENCE = 40  # seconds for jobs to end; Slurm kills after 30
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=30
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=86400
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=20000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "slurmctld and slurmd are started as root here"
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{SBIN}:/usr/bin") is None]
    if missing:
        return f"{', '.join(missing)} not found; apt-get install slurm-wlm munge"
    if importlib.util.find_spec(PLUGIN) is None:
        return f"{PLUGIN} is not installed; pip install -r requirements.lock"
    return None


class Slurm:
    """The cluster. Commands talk to it through `environment`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        conf = folder / "slurm.conf"
        self.environment = os.environ | {
            "SLURM_CONF": str(conf),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }
        # The plugin takes every variable of Slurm's away before it calls srun.
        (folder / "bin").mkdir()
        srun = folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec /usr/bin/srun "$@"\n')
        srun.chmod(0o755)
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self, name: str, *arguments: str) -> None:
        """Start a daemon in the foreground, so that it can be ended by its own process id."""
        with (self.folder / f"{name}.out").open("a") as out:
            self.daemons[name] = subprocess.Popen(
                [f"{SBIN}/{name}", *arguments],
                env=self.environment,
                stdout=out,
                stderr=out,
                preexec_fn=end_with_parent,
            )

    def kill(self, name: str) -> None:
        """Kill a daemon at once."""
        process = self.daemons.pop(name)
        process.kill()
        process.wait()

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints; empty if it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout

    def start_node(self) -> None:
        """Start the node's daemon."""
        self.start("slurmd", "-D", "-N", self.host)

    def lose_node(self) -> None:
        """Kill the node's daemon with all that it runs, as if its power failed, and tell Slurm."""
        self.kill("slurmd")
        # The daemons of steps first: they would tell Slurm how their processes ended.
        for is_daemon in (True, False):
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):  # it has ended meanwhile
                    if (process.name() == STEP) is is_daemon and self._is_of_a_job(process):
                        process.kill()
        self.ask("scontrol", "update", f"nodename={self.host}", "state=down", "reason=lost")

    def _is_of_a_job(self, process: psutil.Process) -> bool:
        """Whether a process belongs to a job. Slurm's daemon of a step overwrites its variables."""
        given = Path(f"/proc/{process.pid}/environ").read_bytes()
        in_a_job = process.name() == STEP or b"SLURM_JOB_ID=" in given
        return in_a_job and str(self.folder).encode() in given

    def return_node(self) -> None:
        """Start the node again."""
        self.start_node()
        self.ask("scontrol", "update", f"nodename={self.host}", "state=resume")

    def jobs(self) -> str:
        """Number and state of every job, finished ones too, one a line."""
        return self.ask("squeue", "--noheader", "--states=all", "--format=%i %T").strip()

    def restarts(self, job: str) -> int:
        """How often Slurm started a job again."""
        told = self.ask("scontrol", "show", "job", job)
        fields = dict(part.split("=", 1) for part in told.split() if "=" in part)
        return int(fields.get("Restarts", -1))

    def end_jobs(self) -> None:
        """Cancel every job, so that none outlives the cluster."""
        self.ask("scancel", "--user=root")
        ends = time.monotonic() + PATIENCE
        while self.ask("squeue", "--noheader").strip() and time.monotonic() < ends:
            time.sleep(0.2)

    def nodes(self) -> str:
        """The state of the node."""
        return self.ask("sinfo", "--noheader", "--format=%t").strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def cluster(folder: Path) -> Iterator[Slurm]:
    """A cluster in a folder; its daemons are ended with the block."""
    slurm = Slurm(folder)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    ports = {"ctld_port": _free_port(), "slurmd_port": _free_port()}
    conf = CONF.format(host=slurm.host, folder=folder, **ports)
    (folder / "slurm.conf").write_text(conf)
    places = {
        "key-file": key,
        "socket": folder / "munge.socket",
        "pid-file": folder / "munged.pid",
        "log-file": folder / "munged.log",
        "seed-file": folder / "munged.seed",
    }
    try:
        slurm.start(
            "munged", "-F", "--force", *(f"--{name}={path}" for name, path in places.items())
        )
        slurm.start("slurmctld", "-D")
        slurm.start_node()
        yield slurm
    finally:
        slurm.end_jobs()
        for name in list(slurm.daemons):
            slurm.kill(name)
