"""Ask about known weaknesses of every pinned package. `make lint` runs this with make's Python.

pip-audit has an environment of its own, so that its packages are no part of the project's. It asks
the OSV database. Where that cannot be reached, the audit is skipped, and the reason is said.
Standard library only.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from lib.setup.host import ROOT

TOOL = "pip-audit==2.10.1"
DATABASE = "https://api.osv.dev"
SECONDS = 10  # to reach the database
LOCKS = ("requirements.lock", "requirements-gpu.lock")
FOLDER = ROOT / ".venv-audit"
# Weaknesses that do not matter here, each with the reason.
ACCEPTED: "dict[str, str]" = {}


class UnreachableError(RuntimeError):
    """The audit cannot be made here. The message is the reason."""


def check_reachable() -> None:
    """Raise UnreachableError unless the database answers."""
    try:
        urllib.request.urlopen(DATABASE, timeout=SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise UnreachableError(
            f"{DATABASE} is not reached ({getattr(error, 'reason', error)})"
        ) from None


def tool() -> "list[str]":
    """The command of pip-audit, installed if it is missing. Raises UnreachableError."""
    program = FOLDER / "bin" / "pip-audit"
    pinned = FOLDER / "pinned"
    if not (program.exists() and pinned.exists() and pinned.read_text() == TOOL):
        for step in (
            [sys.executable, "-m", "venv", str(FOLDER)],
            [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", TOOL],
        ):
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                lines = (done.stdout + done.stderr).strip().splitlines() or ["no reason given"]
                raise UnreachableError(f"{TOOL} could not be installed ({lines[-1]})")
        pinned.write_text(TOOL)
    return [str(program)]


def weaknesses(command: "list[str]", lock: Path) -> "list[str]":
    """One line for each known weakness of a lock's packages. Raises UnreachableError."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off"]
    asked = ["--requirement", str(lock), "--vulnerability-service", "osv", "--format", "json"]
    done = subprocess.run([*command, *options, *asked], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines() or ["it printed no report"]
        raise UnreachableError(f"pip-audit stopped ({lines[-1][:200]})") from None
    found = []
    for package in packages:
        for weakness in package.get("vulns", []):
            if weakness["id"] not in ACCEPTED:
                mended = ", ".join(weakness.get("fix_versions") or []) or "no version yet"
                name = f"{package['name']} {package['version']}"
                found.append(f"{lock.name}: {name}: {weakness['id']}, mended in {mended}")
    return found


def main() -> int:
    """Audit both locks. Returns 1 if a weakness is known, 0 if none is or nobody can be asked."""
    try:
        check_reachable()
        command = tool()
        found = []
        for name in LOCKS:
            found += weaknesses(command, ROOT / name)
    except UnreachableError as reason:
        print(f"pip-audit is skipped: {reason}")
        return 0
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print(
            "raise the pin, or name the weakness and why it does not matter in ACCEPTED of "
            "lib/setup/audit.py",
            file=sys.stderr,
        )
        return 1
    print(f"pip-audit: no known weakness in {' and '.join(LOCKS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
