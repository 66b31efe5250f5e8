"""A run that is killed again and again ends with the results of one that was left alone."""

from __future__ import annotations

import shutil

import pytest
from killed import content, finish, kill, points

from lib.config.params import ROOT

CANARY = "sk-canary-of-a-whole-run"
KILLS = 15


@pytest.fixture
def reports():
    names = ("killed-15", "left-alone")
    yield
    for name in names:
        shutil.rmtree(ROOT / "reports" / name, ignore_errors=True)


@pytest.mark.long
def test_fifteen_kills_change_nothing_and_no_key_is_written(tmp_path, reports):
    """One run is killed at 15 seeded points, one after the other; a second one is left alone."""
    killed = tmp_path / "runs" / "killed-15"
    alone = tmp_path / "alone" / "left-alone"
    given = {"ANTHROPIC_API_KEY": CANARY}
    done = [kill(killed, victim, after, **given) for victim, after in points(7, KILLS, 40)]
    assert sum(done) >= KILLS - 3, "the run ended before most of the kills"
    printed = finish(killed, **given)
    printed += finish(alone, **given)
    assert content(killed) == content(alone)
    assert list(killed.rglob("*.tmp")) == [], "nothing half-written is left"
    assert CANARY not in printed
    pages = [ROOT / "reports" / "killed-15", ROOT / "reports" / "left-alone"]
    for folder in (killed, alone, *pages):
        for path in folder.rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
