"""What a person types for a notebook or for make stays text: no kernel and no shell executes it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import papermill
import pytest

from lib.config.params import ROOT

HOSTILE = (
    '"; import os; os.mkdir("executed"); "',
    "'''; __import__('os').mkdir('executed')  #",
    '"""\n__import__("os").mkdir("executed")\n"""',
    "\\",
    "a\n%%bash\nmkdir executed",
    "{run} $(mkdir executed) `mkdir executed`; mkdir executed & | > executed",
)


@pytest.mark.parametrize("typed", HOSTILE)
@pytest.mark.parametrize("notebook", ["01_build_traces", "06_stats_and_gates"])
def test_a_parameter_stays_a_text_in_a_notebook(notebook, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = papermill.iorw.load_notebook_node(str(ROOT / "notebooks" / f"{notebook}.ipynb"))
    given = {"profile": typed, "run": typed, "overrides": json.dumps({"model.name": typed})}
    made = papermill.parameterize.parameterize_notebook(original, given)
    tagged = [cell for cell in made.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    (cell,) = tagged
    variables: dict[str, object] = {}
    exec(cell.source, variables)
    assert {name: variables[name] for name in given} == given
    assert list(tmp_path.iterdir()) == []


def test_parameters_stay_words_in_the_shell_of_the_runner(tmp_path):
    """The commands that Snakemake would run, with every argument as a shell hands it on."""
    overrides = json.dumps({"model.name": HOSTILE[-1] + "'\"$HOME"})
    dry = [sys.executable, "-m", "snakemake", "-n", "-p", "--nolock"]
    environment = os.environ | {
        "PROFILE": "smoke",
        "RUN": "hostile-words",
        "OVERRIDES": overrides,
        "SELFCORRECT_RUNS_DIR": str(tmp_path / "runs"),
    }
    done = subprocess.run(dry, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    commands = [line.strip() for line in done.stdout.splitlines() if " papermill " in line]
    assert commands
    for command in commands:
        _, _, call = command.partition(" && mkdir -p ")
        arguments = call.partition(" && ")[2]
        shown = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {arguments}"], cwd=tmp_path, capture_output=True
        )
        words = shown.stdout.decode().split("\0")[:-1]
        assert words == shlex.split(arguments) and words[-1] == overrides
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("report", ["PROFILE", "RUN", "OVERRIDES"]),
        ("score", ["PROFILE", "RUN", "JUDGMENTS", "CAPABILITY", "TREATMENT", "BASELINE"]),
        ("status", ["RUN"]),
        ("em_set", ["PROFILE", "RUN", "OVERRIDES"]),
    ],
)
def test_make_expands_no_parameter(target, names, tmp_path):
    given = [f"{name}=$(shell touch '{tmp_path}/{name}')" for name in names]
    subprocess.run(
        ["make", "-n", "-o", f"{sys.prefix}/.ready", target, f"VENV={sys.prefix}", *given],
        cwd=ROOT,
        capture_output=True,
    )
    assert list(tmp_path.iterdir()) == []
