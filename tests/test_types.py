"""The type check of `make lint` finds what it is there for, by the project's own configuration."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest

from lib.config.params import ROOT

PLANTED = """
from pathlib import Path


def doubled(number: int) -> int:
    return 2 * number


def first(folder: Path) -> Path | None:
    return next(folder.iterdir(), None)


{line}
"""


@pytest.mark.skipif(
    importlib.util.find_spec("basedpyright") is None,
    reason="basedpyright is not installed; it is in the lock",
)
def test_the_type_check_finds_an_argument_a_missing_value_and_an_attribute(tmp_path):
    lines = {
        "reportArgumentType": 'doubled("2")',
        "reportOptionalMemberAccess": 'first(Path(".")).read_text()',
        "reportAttributeAccessIssue": "doubled(2).half",
        "none": "doubled(2).bit_length()",
    }
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "lib").mkdir()
    for rule, line in lines.items():
        (tmp_path / "lib" / f"{rule}.py").write_text(PLANTED.format(line=line))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    rules = {one["file"].rpartition("/")[2].removesuffix(".py"): one["rule"] for one in found}
    assert done.returncode == 1 and len(found) == 3, found
    assert rules == {rule: rule for rule in lines if rule != "none"}
