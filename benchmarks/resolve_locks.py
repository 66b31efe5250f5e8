"""Do the locks resolve? A dry run of pip for each lock and Python, without installing anything.

`python benchmarks/resolve_locks.py [LOCK PYTHON]`, e.g. `requirements-gpu.lock 3.12`; all of them by default.
It needs the package index, and downloads a few GB where the index serves no metadata of its own.
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
SOURCE_ONLY = (
    "connection_pool",
    "rouge_score",
    "sqlitedict",
    "word2number",
)  # no wheel; built here, all plain Python
OF_CUDA = (
    "nvidia-",
    "cuda-",
    "triton",
    "setuptools",
)  # what the CUDA build of torch brings beyond the CPU lock
PLATFORMS = [
    "linux_x86_64",
    "manylinux1_x86_64",
    "manylinux2014_x86_64",
    *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 40)),
]


def resolve(lock: Path, python: str, built: Path) -> list[str]:
    """What is wrong with a lock for one Python; empty when every pin has a file and all agree."""
    locked = pins(lock)
    requirements = built / "requirements.txt"
    requirements.write_text(
        "".join(f"{name}=={version}\n" for name, version in locked.items() if name != ALONE)
    )
    report = built / "report.json"
    tags = [part for name in PLATFORMS for part in ("--platform", name)]
    tags += [
        part
        for name in ("cp" + python.replace(".", ""), "abi3", "none")
        for part in ("--abi", name)
    ]
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
        return [
            line
            for line in done.stderr.splitlines()
            if line.startswith("ERROR:") or "depends on" in line
        ]
    found = {
        normalise(item["metadata"]["name"]) for item in json.loads(report.read_text())["install"]
    }
    missing = sorted(found - {normalise(name) for name in locked})
    return [
        f"{name} is needed and not in the lock"
        for name in missing
        if lock == GPU_LOCK or not name.startswith(OF_CUDA)
    ]


def main(arguments: list[str]) -> int:
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
