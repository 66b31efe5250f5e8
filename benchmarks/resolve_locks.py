"""Do the locks resolve? A dry run of pip for each lock and Python, without installing anything.

    python benchmarks/resolve_locks.py [LOCK PYTHON]

For example `requirements-gpu.lock 3.12`; all of them by default. It needs the package index, and
downloads a few GB if the index serves no metadata of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.setup.locks import ALONE, CPU_LOCK, GPU_LOCK, ROOT, normalise, pins

CASES = [
    (CPU_LOCK, "3.11"),
    (CPU_LOCK, "3.12"),
    (CPU_LOCK, "3.13"),
    (GPU_LOCK, "3.11"),
    (GPU_LOCK, "3.12"),
    (GPU_LOCK, "3.13"),
]
# Packages without a wheel; they are built here, and all are plain Python.
SOURCE_ONLY = ("connection_pool", "rouge_score", "sqlitedict", "word2number")
# What the CUDA build of torch brings beyond the CPU lock.
OF_CUDA = ("nvidia-", "cuda-", "triton", "setuptools")
PLATFORMS = [
    "linux_x86_64",
    "manylinux1_x86_64",
    "manylinux2014_x86_64",
    *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 40)),
]


def resolve(lock: Path, python: str, built: Path) -> list[str]:
    """What is wrong with a lock for one Python; empty if every pin has a file and all agree."""
    locked = pins(lock)
    requirements = built / "requirements.txt"
    lines = [f"{name}=={version}\n" for name, version in locked.items() if name not in ALONE]
    requirements.write_text("".join(lines))
    report = built / "report.json"
    tags: list[str] = []
    for platform in PLATFORMS:
        tags += ["--platform", platform]
    for abi in ("cp" + python.replace(".", ""), "abi3", "none"):
        tags += ["--abi", abi]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            report,
            "--target",
            built / "nothing",
            "--only-binary",
            ":all:",
            "--find-links",
            built,
            "--implementation",
            "cp",
            "--python-version",
            python,
            *tags,
            "--requirement",
            requirements,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        return [line for line in lines if line.startswith("ERROR:") or "depends on" in line]
    installs = json.loads(report.read_text())["install"]
    needed = {normalise(item["metadata"]["name"]) for item in installs}
    missing = sorted(needed - {normalise(name) for name in locked})
    return [
        f"{name} is needed and not in the lock"
        for name in missing
        if lock == GPU_LOCK or not name.startswith(OF_CUDA)
    ]


def main(arguments: list[str]) -> int:
    """Check the locks and print one line per lock and Python; returns how many do not resolve."""
    cases = [(ROOT / arguments[0], arguments[1])] if arguments else CASES
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-deps",
                "--wheel-dir",
                built,
                *(f"{name}=={pins(CPU_LOCK)[name]}" for name in SOURCE_ONLY),
            ],
            check=True,
        )
        for lock, python in cases:
            problems = resolve(lock, python, built)
            print(f"{lock.name}, Python {python}: {'; '.join(problems) or 'resolves'}", flush=True)
            failed += bool(problems)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
