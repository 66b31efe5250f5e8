"""make publish hands the run on as it was typed, and has no default for it."""

import os
import subprocess
import sys

import pytest

from lib.config.params import ROOT


@pytest.mark.parametrize(
    ("given", "said"),
    [([], "RUN is missing"), (["RUN=no$$such"], "run 'no$$such'"), (["RUN=007"], "run '007'")],
)
def test_make_publish(tmp_path, given, said):
    kept = {key: value for key, value in os.environ.items() if key not in ("RUN", "PROFILE")}
    done = subprocess.run(
        ["make", "-o", f"{sys.prefix}/.ready", "publish", f"VENV={sys.prefix}", *given],
        cwd=ROOT,
        env=kept | {"SELFCORRECT_RUNS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"make publish: {said}" in done.stderr and "Traceback" not in done.stderr
