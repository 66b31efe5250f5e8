"""`make report` in a shell: parameters arrive as typed or are refused, and a signal ends all of it.

The recipe is the real one. A stub in Snakemake's place says what it was started with, so that no
model is used.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from lib.config.params import ROOT
from lib.run import watched

STUB = """
import json, os, subprocess, sys

def main():
    with open(os.environ["STUB_SAW"], "w") as file:
        json.dump({"argv": sys.argv[1:], "env": dict(os.environ)}, file)
    print("line of Snakemake", file=sys.stderr)
    if "STUB_PIPE" in os.environ:  # a stage; papermill starts its kernel in its own session
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        kernel = subprocess.Popen(sleep, start_new_session=True)
        with open(os.environ["STUB_PIPE"], "w") as pipe:
            pipe.write(f"{os.getpid()} {kernel.pid}\\n")
        kernel.wait()
    sys.exit(int(os.environ.get("STUB_CODE", "0")))
"""


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    """A folder with the stub under Snakemake's name: as module, program and entry point."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "snakemake").mkdir()
    (folder / "snakemake" / "__init__.py").touch()
    (folder / "snakemake" / "cli.py").write_text(STUB)
    (folder / "snakemake" / "__main__.py").write_text("from snakemake.cli import main\nmain()\n")
    return folder


@pytest.fixture(scope="session")
def ready():
    """Options that tell make to take the installation as it is."""
    database = subprocess.run(
        ["make", "-pn", "report", f"VENV={sys.prefix}"], cwd=ROOT, capture_output=True, text=True
    )
    needed = re.search(r"^report: ([^:=\n]+)$", database.stdout, re.MULTILINE)
    return list(itertools.chain(*[("-o", name) for name in needed.group(1).split()]))


def heed_signals() -> None:
    """In a new process: a suite that a shell or nohup started may ignore some."""
    for number in watched.STOPS:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def make(stub, ready, tmp_path):
    """Starts `make report`; `make.saw()` is what the stub was started with, None if it was not."""
    saw = tmp_path / "saw.json"

    def start(*given: str, **changes: str) -> subprocess.Popen:
        saw.unlink(missing_ok=True)
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ("PROFILE", "RUN", "OVERRIDES")
        }
        environment = kept | {
            "PYTHONPATH": f"{stub}:{ROOT}",
            "STUB_SAW": str(saw),
            **changes,
            "SELFCORRECT_RUNS_DIR": str(tmp_path / "moved runs"),
        }
        return subprocess.Popen(
            ["make", *ready, "report", f"VENV={sys.prefix}", *given],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=heed_signals,
        )

    start.saw = lambda: json.loads(saw.read_text()) if saw.exists() else None
    start.lock = tmp_path / "moved runs" / ".lock"
    return start


def asked(saw: dict, key: str) -> object:
    """A parameter as the Snakefile gets it: Snakemake's --config reads its values as YAML."""
    configured = [part for part in saw["argv"] if part.startswith(f"{key}=")]
    return (
        yaml.safe_load(configured[0].partition("=")[2])
        if configured
        else saw["env"].get(key.upper())
    )


@pytest.mark.parametrize("name", ["20261126", "1.10", "123_456", "007", "null"])
def test_a_name_that_looks_like_a_number_stays_as_it_was_typed(make, name):
    output, _ = make("PROFILE=smoke", f"RUN={name}").communicate()
    assert asked(make.saw(), "run") == name, output
    assert asked(make.saw(), "profile") == "smoke" and f"reports/{name}/index.html" in output


def test_without_a_name_the_run_is_called_after_the_profile(make):
    output, _ = make("PROFILE=smoke").communicate()
    assert asked(make.saw(), "run") == "smoke" and "report: reports/smoke/index.html" in output


@pytest.mark.parametrize(
    "given",
    [
        "RUN=my run",
        "RUN=",
        "RUN=..",
        "RUN=a$b",
        "RUN=a'b;c",
        "RUN=a\nb",
        "PROFILE=../params/smoke",
        'OVERRIDES={"phase2.rows": 8, "phase2.rows": 16}',
    ],
)
def test_what_is_no_name_is_one_line_before_any_work(make, given):
    running = make(given)
    output, _ = running.communicate()
    lines = [line for line in output.splitlines() if not line.startswith("make: ***")]
    assert make.saw() is None and running.returncode, output
    assert len(lines) == 1 and "Traceback" not in output, output


def test_overrides_arrive_as_typed(make):
    typed = '{"model.name": "a$b \'c\' \\"d\\"", "phase1.packing": true}'
    output, _ = make("PROFILE=smoke", f"OVERRIDES={typed}").communicate()
    assert make.saw()["env"]["OVERRIDES"] == typed, output


def test_compiled_packages_are_kept_for_the_next_stage_even_if_the_shell_forbids_it(make):
    output, _ = make("PROFILE=smoke", PYTHONDONTWRITEBYTECODE="1").communicate()
    assert make.saw()["env"]["PYTHONDONTWRITEBYTECODE"] == "", output


def test_a_stop_says_what_to_do_and_the_lock_is_with_the_runs(make):
    running = make("PROFILE=smoke", STUB_CODE="3")
    output, _ = running.communicate()
    lines = [line for line in output.splitlines() if not line.startswith("make: ***")]
    assert running.returncode, output
    assert "line of Snakemake" in lines and "continues from there" in lines[-1], output
    assert make.lock.exists()


def test_two_do_not_work_on_the_same_runs(make):
    make.lock.parent.mkdir()
    with make.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        running = make("PROFILE=smoke")
        output, _ = running.communicate()
        assert running.returncode and "another make is at work" in output and make.saw() is None, (
            output
        )


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGHUP, True)],
    ids=["make alone is told to end", "Ctrl-C", "the terminal closes"],
)
def test_a_signal_ends_the_pipeline_and_its_kernels(make, tmp_path, number, whole_group):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    running = make("PROFILE=smoke", STUB_PIPE=str(pipe))
    below = []
    try:
        assert select.select([reader], [], [], 60)[0], "the pipeline did not start"
        below = [psutil.Process(int(pid)) for pid in os.read(reader, 100).split()]
        (os.killpg if whole_group else os.kill)(running.pid, number)
        _, alive = psutil.wait_procs(below, timeout=20)
        assert alive == []
        output, _ = running.communicate(timeout=60)
        assert running.returncode and "continues from there" in output, output
        with make.lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(reader)
        for process in below:
            if process.is_running():
                process.kill()


def dry_run(run: str, runs_dir: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "-p",
        "--nolock",
        "--config",
        "profile=smoke",
        f"run={run}",
    ]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"SELFCORRECT_RUNS_DIR": str(runs_dir)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_variable_moves_everything_but_the_report(tmp_path):
    moved = tmp_path / "my runs"
    plan = dry_run("moved-run", moved)
    assert (
        f"{moved}/moved-run/.done/01_build_traces" in plan
        and f"'{moved}/moved-run/notebooks/05_judge.ipynb'" in plan
    )
    assert "reports/moved-run/index.html" in plan and not re.search(
        r"(?<!my )\bruns/moved-run", plan
    )
