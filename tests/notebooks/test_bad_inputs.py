"""Every command refuses a bad input in one line with a remedy, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bad_inputs import Bad, cases, elsewhere

from lib import pipeline, review, score
from lib.config import params, sweeps
from lib.config.params import ROOT
from lib.data import catalogue
from lib.em_sets import __main__ as em_set
from lib.ladder import __main__ as ladder
from lib.packing import __main__ as packing
from lib.planning import __main__ as plan
from lib.publish import __main__ as publish
from lib.report import compare, site, status
from lib.run import clean
from lib.run.files import sha256

COMMANDS = {
    "report": pipeline.main,
    "score": score.main,
    "review": review.main,
    "em_set": lambda: em_set.main([]),
    "ladder": lambda: ladder.main([]),
    "publish": lambda: publish.main([]),
    "compare": lambda: compare.main([]),
    "status": status.main,
    "site": site.main,
    "plan": plan.main,
    "pack": lambda: packing.main("pack"),
    "unpack": lambda: packing.main("unpack"),
    "clean-run": clean.main,
}
TYPED = (
    "RUN",
    "RUNS",
    "SWEEP",
    "OVERRIDES",
    "FILE",
    "WEIGHTS",
    "CLUSTER",
    "STAGE_HOURS",
    "TREATMENT",
    "BASELINE",
    "CALLED_FROM",
    "WORLD_SIZE",
)
# A remedy tells a person what to do, or which value would do.
REMEDY = re.compile(
    r"\b(add|check|choose|convert|correct|divide|export|finish|give|keep|judge|leave|lower|make|mend|"
    r"name|nearest|put|raise|remove|rename|run|save|set|should|start|take|unset|use|write)\b"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of runs with nothing in it, beside what a case plants."""
    for name in (*TYPED, "ANTHROPIC_API_KEY", "SELFCORRECT_HEADS_DIR", "SELFCORRECT_MODELS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROFILE", "smoke")
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SELFCORRECT_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    catalogue.catalogue.cache_clear()


def planted_catalogue(folder: Path, monkeypatch) -> None:
    """A copy of params/ whose catalogue has the file that the case planted, with its sha256."""
    copy = folder / "params"
    shutil.copytree(params.PARAMS_DIR, copy)
    file = folder / "planted.bin"
    reader = (folder / "reader.txt").read_text()
    entry = {"path": str(file), "reader": reader, "sha256": sha256(file), "field": "prompt"}
    entry["variants"] = "core"
    content = yaml.safe_load((copy / "data.yaml").read_text()) | {"planted": entry}
    (copy / "data.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(params, "PARAMS_DIR", copy)
    monkeypatch.setattr(catalogue, "PARAMS_DIR", copy)
    catalogue.catalogue.cache_clear()


def planted_conditions(folder: Path, monkeypatch) -> None:
    """A copy of params/ with the conditions that the case planted."""
    copy = folder / "params"
    shutil.copytree(params.PARAMS_DIR, copy)
    shutil.copy(folder / "conditions.yaml", copy / "conditions.yaml")
    monkeypatch.setattr(params, "PARAMS_DIR", copy)


def files(folder: Path) -> set[str]:
    made = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in made if not name.startswith("cache")}


def exit_code(command: str) -> object:
    try:
        return COMMANDS[command]()
    except SystemExit as stopped:
        if isinstance(stopped.code, str):
            print(stopped.code, file=sys.stderr)
            return 1
        return stopped.code


@pytest.mark.parametrize("bad", cases(), ids=lambda bad: bad.name)
def test_a_bad_input_is_one_line_with_a_remedy(bad: Bad, folder, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "logged", lambda *given: pytest.fail("the pipeline was started"))
    monkeypatch.setattr(score, "execute", lambda *given: pytest.fail("notebook 06 was started"))
    bad.plant(folder)
    if (folder / "planted.bin").exists():
        planted_catalogue(folder, monkeypatch)
    if (folder / "conditions.yaml").exists():
        planted_conditions(folder, monkeypatch)
    if (folder / "sweeps").exists():
        monkeypatch.setattr(sweeps, "FOLDER", folder / "sweeps")
    if bad.command == "unpack":
        monkeypatch.setenv("CALLED_FROM", str(folder))
    if bad.command == "score":
        monkeypatch.setenv("RUN", "r")
        if not (folder / "judgments").exists():
            elsewhere(folder)
        monkeypatch.setenv("JUDGMENTS", str(folder / "judgments"))
        monkeypatch.setenv("CAPABILITY", str(folder / "capability"))
    for name, value in bad.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["command", *([bad.argument] if bad.argument else [])])
    before = files(folder)
    code = exit_code(bad.command)
    told = capsys.readouterr().err.strip()
    assert code not in (0, None), told
    assert len(told.splitlines()) == 1 and "Traceback" not in told, told
    assert REMEDY.search(told) and len(told) < 2000, told
    assert files(folder) == before


def test_there_are_many_bad_inputs_and_none_twice():
    names = [bad.name for bad in cases()]
    assert len(names) >= 80 and len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("module", "variables"),
    [("lib.pipeline", {"PROFILE": "../smoke"}), ("lib.score", {"RUN": "r", "JUDGMENTS": "/etc"})],
)
def test_a_command_of_its_own_says_no_more(folder, module, variables):
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    told = done.stderr.strip()
    assert done.returncode and len(told.splitlines()) == 1 and not done.stdout, done
    assert "Traceback" not in told and REMEDY.search(told), told
    assert not (folder / "runs").exists()
