"""`make review`: a file is imported whole or refused in one line, and the report follows."""

from __future__ import annotations

import os
import subprocess

import pytest
from outside import ROOT
from reviewed import all_read, judged_run, line

from lib import review
from lib.manual_review import marks, sample
from lib.run.files import read_json, write_json


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    return judged_run()


def take(run, tmp_path, text: str, name: str = "given.jsonl"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return review.take({"RUN": run.name, "FILE": name, "CALLED_FROM": str(tmp_path)})


def test_a_whole_file_ends_the_review(run, tmp_path, capsys):
    _, state = take(run, tmp_path, all_read(sample.draw(run), ("refusal",)))
    assert state.done
    assert "15 new, 0 changed, 0 as before\nManual review: done." in capsys.readouterr().out


def test_a_part_leaves_it_pending_and_a_second_file_adds_to_it(run, tmp_path, capsys):
    drawn = sample.draw(run)
    take(run, tmp_path, line(drawn, "001"))
    _, state = take(run, tmp_path, line(drawn, "001", marks=[]) + line(drawn, "002"))
    assert not state.done and len(state.readings) == 2
    assert "1 new, 1 changed, 0 as before" in capsys.readouterr().out


def test_a_wrong_line_keeps_nothing_of_its_file(run, tmp_path):
    drawn = sample.draw(run)
    with pytest.raises(ValueError, match="line 2"):
        take(run, tmp_path, line(drawn, "001") + line(drawn, "001"))
    assert not marks.path(run, drawn).exists()


def test_the_file_of_another_run_is_refused(run, tmp_path):
    other = judged_run("other", seeds=(7,))
    with pytest.raises(ValueError, match="belongs to another sample"):
        take(run, tmp_path, all_read(sample.draw(other)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"RUN": "read", "FILE": "nowhere"}, "FILE=nowhere is not a file"),
        ({"RUN": "a/b"}, "plain folder name"),
        ({"RUN": "none", "FILE": "x"}, "make report RUN=none"),
    ],
)
def test_what_cannot_be_imported_is_one_line(run, tmp_path, given, words):
    with pytest.raises((ValueError, OSError)) as error:
        review.take(given | {"CALLED_FROM": str(tmp_path)})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_empty_file_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="holds no answer"):
        take(run, tmp_path, "\n\n")


def test_without_a_file_the_state_is_shown(run, capsys):
    review.take({"RUN": "read"})
    told = capsys.readouterr().out
    assert "pending. 0 of 15" in told and "open reports/read/review.html" in told


@pytest.mark.parametrize(
    ("said", "whole", "again"), [(False, True, 1), (True, True, 0), (False, False, 0)]
)
def test_notebook_06_runs_again_once_the_review_is_done(
    run, tmp_path, monkeypatch, said, whole, again
):
    executed = []
    monkeypatch.setattr(review, "execute", lambda *given: executed.append(given))
    monkeypatch.setattr("lib.report.site.build", lambda run: ROOT / "page")
    write_json(run.result, {"beside": {"manual_review_done": said}})
    text = all_read(sample.draw(run))
    review.bring_up_to_date(*take(run, tmp_path, text if whole else text.split("\n")[0]))
    assert len(executed) == again
    if again:
        name, out, given = executed[0]
        assert name == "06_stats_and_gates" and out.parent == run.dir / "notebooks"
        expected = {"profile": "smoke", "seed": 7, "run": "read", "overrides": {}}
        assert given == expected and read_json(run.manifest)["overrides"] == {}


def test_make_hands_the_file_on_as_it_was_typed(run, tmp_path):
    command = ["make", "-C", str(ROOT), "-s", "-o", ".venv/.ready", "review", "RUN=read"]
    done = subprocess.run(
        [*command, "FILE=a $b's.jsonl"],
        cwd=tmp_path,
        env=os.environ | {"PWD": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [row for row in done.stderr.splitlines() if not row.startswith("make: ***")]
    assert done.returncode and len(told) == 1
    assert told[0].startswith("make review: FILE=a $b's.jsonl is not a file")
    assert f"{tmp_path}/a $b's.jsonl" in told[0]
