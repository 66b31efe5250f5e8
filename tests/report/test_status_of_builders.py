"""`make status` of a run whose EM set or ladder is at work, stopped or finished."""

from __future__ import annotations

import pytest
from test_status import THIRD, at_third, run, states  # noqa: F401 (run is a fixture)

from lib.pipeline import lock
from lib.report import status, status_page
from lib.run.log import Log, begins, ends


@pytest.mark.parametrize("target", ["em_set", "ladder"])
def test_the_set_and_the_ladder_show_how_far_they_are(run, tmp_path, target):  # noqa: F811
    at_third(run)
    log = Log(run)
    log.write(f"{begins(target)}: profile smoke")
    log.write("rung plan: 10 of 40 steps, 60 s")
    with lock(tmp_path / "runs", run.name):
        found = status.read(run)
        assert found.title == f"make {target} is at work"
        assert states(run)[THIRD] == "stopped", "no stage of the report is at work"
    assert "rung plan: 10 of 40 steps" in "\n".join(status.lines(status.read(run)))
    found = status.read(run)
    assert found.title == f"make {target} stopped"
    assert found.command == f"make {target} PROFILE=smoke RUN=half"
    log.write(f"{ends(target)}: exit code 2")
    assert status.read(run).title == f"make {target} ended with exit code 2"
    log.write(f"{begins(target)}: profile smoke")
    log.write(f"{ends(target)}: exit code 0")
    log.close()
    found = status.read(run)
    assert found.title == f"make {target} finished"
    assert found.command == "make report PROFILE=smoke RUN=half"


def test_the_page_of_a_ladder_that_stopped_says_how_to_continue(run):  # noqa: F811
    log = Log(run)
    log.write(f"{begins('ladder')}: profile smoke")
    log.write("make ladder: the judge is missing")
    log.write(f"{ends('ladder')}: exit code 2")
    log.close()
    page = status_page.build(run).read_text(encoding="utf-8")
    assert "make ladder PROFILE=smoke RUN=half" in page and "the judge is missing" in page
