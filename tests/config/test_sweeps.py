"""Sweeps: every one in params/sweeps is valid, and a wrong one is one line before any work."""

from __future__ import annotations

import pytest

from lib.config import sweeps
from lib.config.arguments import ParamsError

GOOD = """\
about: two seeds
runs:
  - {run: a, profile: smoke, overrides: {}}
  - {run: b, profile: smoke, overrides: {seeds: [1]}}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "FOLDER", tmp_path)

    def write(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return "mine"

    return write


@pytest.mark.parametrize("name", sweeps.names())
def test_every_sweep_of_the_project_loads(name):
    sweep = sweeps.load_sweep(name)
    assert len(sweep.runs) >= 2


def test_a_sweep_names_its_runs(written):
    sweep = sweeps.load_sweep(written(GOOD))
    assert [one.run for one in sweep.runs] == ["a", "b"]
    assert sweep.runs[1].overrides == {"seeds": [1]}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("run: b", "run: a", "two runs are called 'a'"),
        ("run: b", "run: ../b", "plain folder name"),
        ("run: b", "run: 007", "run is 7"),
        ("profile: smoke, overrides: {}", "profile: smok, overrides: {}", "nearest: smoke"),
        ("seeds: [1]", "seds: [1]", "run 'b': overrides: unknown key 'seds'"),
        ("seeds: [1]", "seeds: []", "run 'b': params/smoke.yaml: seeds"),
        ("about: two seeds", "abut: two seeds", "nearest valid key: 'about'"),
        (", overrides: {}", "", "'runs.0.overrides' is missing"),
        ("about: two seeds", "about: x\nabout: y", "again on line 2"),
        ("about: two seeds", "about: [", "not valid YAML"),
        (GOOD, "about: x\nruns: []\n", "runs"),
        (GOOD, "- a\n", "profile"),
    ],
)
def test_a_wrong_sweep_is_one_line_with_its_file(written, old, new, words):
    assert old in GOOD
    with pytest.raises(ParamsError) as error:
        sweeps.load_sweep(written(GOOD.replace(old, new)))
    said = str(error.value)
    assert words in said and said.startswith("params/sweeps/mine.yaml") and "\n" not in said


@pytest.mark.parametrize("name", ["min", "../params/smoke", ""])
def test_an_unknown_sweep_is_one_line(written, name):
    written(GOOD)
    with pytest.raises(ParamsError) as error:
        sweeps.load_sweep(name)
    assert "mine" in str(error.value) or "plain folder name" in str(error.value)
