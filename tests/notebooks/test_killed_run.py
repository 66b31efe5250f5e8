"""A run that is killed again and again ends with the results of one that was left alone."""

from __future__ import annotations

import shutil

import pytest
from killed import STOPS, VICTIMS, content, finish, kill_often, points

from lib.config.params import ROOT

CANARY = "sk-canary-of-a-whole-run"
KILLS = 15


@pytest.fixture
def reports():
    yield
    for folder in [ROOT / "reports" / "left-alone", *(ROOT / "reports").glob("killed-15*")]:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_fifteen_kills_change_nothing_and_no_key_is_written(tmp_path, reports):
    """Kill -9 at 15 seeded points, one SIGTERM and one Ctrl-C; another run is left alone."""
    alone = tmp_path / "alone" / "left-alone"
    given = {"ANTHROPIC_API_KEY": CANARY}
    planned = points(7, KILLS, 40)
    assert {victim for victim, _ in planned} == set(VICTIMS)
    for place, stop in enumerate(STOPS, start=1):
        planned.insert(5 * place, (stop, 20))
    killed = kill_often(tmp_path / "runs", "killed-15", planned, **given)
    printed = "".join(finish(run, **given) for run in (*killed, alone))
    undisturbed = content(alone)
    for run in killed:
        assert content(run) == undisturbed, run.name
        assert list(run.rglob("*.tmp")) == [], "nothing half-written is left"
    assert CANARY not in printed
    pages = [ROOT / "reports" / run.name for run in (*killed, alone)]
    for folder in (*killed, alone, *pages):
        for path in folder.rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
