"""Runs side by side: parameters first, and never a difference between the scores of two judges."""

from __future__ import annotations

import html
import json

import pytest
from hostile_result import EVIL, RESULT
from test_report import Harm

from lib.config import sweeps
from lib.config.params import ROOT
from lib.report import compare, compared_runs
from lib.report.compared_runs import CompareError, named
from lib.report.gate_words import SCORE, SHARE
from lib.run.files import write_json
from lib.run.runs import Run

GOLDEN = json.loads((ROOT / "tests" / "golden" / "null.json").read_text(encoding="utf-8"))
PROMPTS = [{"prompt_id": name} for name in ("p1", "p2")]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(compare, "ROOT", tmp_path)


def finished(name: str, judge: str | None = "judge A", profile: dict | None = None, **changes):
    """A run with a result, and with a manifest if it has a profile."""
    run = Run(name)
    judges = [{"suite": "alignment", "judge": judge, "rubric": "r"}] if judge else []
    result = RESULT | {"judge": None, "judges": judges, "per_prompt": PROMPTS, "order": ["arm"]}
    arm = {key: 12.0 for key, *_ in compare.OF_ARMS}
    write_json(run.result, result | {"arms": {"arm": arm}} | changes)
    if profile is not None:
        stamp = {"sha256": {"gates.yaml": "0" * 64}}
        write_json(run.manifest, {"profile": profile, "preregistration": stamp})
    return run


def cells(text: str) -> list[str]:
    return compared_runs.against_first(named(text))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "names 0 runs; give two or more"),
        ("a", "names 1 run; give two or more"),
        ("a b a", "names 'a' twice"),
        ("a bb", "make report PROFILE=NAME RUN=bb, or name a finished run (nearest: 'b')"),
        ("a ../b", "plain folder name"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(given, words):
    finished("a")
    finished("b")
    with pytest.raises(ValueError) as error:
        named(given)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, CompareError) or ".." in given


def test_only_parameters_that_differ_are_listed():
    profile = {"seeds": [1], "model": {"name": "m", "revision": None}, "same": {"a": 1}}
    finished("a", profile=profile)
    finished("b", "judge B", profile=profile | {"seeds": [1, 2], "model": {"name": "n"}})
    table, n_equal = compared_runs.differing(named("a b"))
    rows = {row[0]: row[1:] for row in table.itertuples(index=False, name=None)}
    assert rows == {
        "judged by": ("judge A, rubric r", "judge B, rubric r"),
        "seeds": ("[1]", "[1, 2]"),
        "model.name": ('"m"', '"n"'),
        "model.revision": ("null", "–"),
    }
    assert n_equal == 5  # same.a, the stamp, the commit, treatment and baseline


def test_one_judge_gives_a_difference():
    finished("a", delta=2.0)
    finished("b", delta=7.5)
    assert cells("a b") == ["the first", "+5.5 against a"]


def test_two_judges_never_give_a_difference():
    for name, judge, delta in (("a", "A", 2.0), ("b", "B", 7.0), ("c", "A", 3.0), ("d", "B", 9.0)):
        finished(name, judge, delta=delta)
    other = compared_runs.OTHER_JUDGE
    assert cells("a b") == ["the first", other]
    assert cells("a b c d") == ["the first", other, "+1.0 against a", "+2.0 against b"]


def test_an_unknown_judge_is_never_the_same_as_another():
    finished("a", None, delta=2.0)
    finished("b", None, delta=3.0)
    assert cells("a b") == ["unknown judge: not compared"] * 2
    assert not compared_runs.same_judge(named("a b"))


def test_another_rubric_or_other_prompts_are_another_measure():
    finished("a", delta=2.0)
    finished("b", delta=3.0, per_prompt=PROMPTS[:1])
    finished("c", delta=3.0, judges=[{"suite": "alignment", "judge": "judge A", "rubric": "r2"}])
    assert cells("a b") == ["the first", compared_runs.OTHER_PROMPTS]
    assert cells("a c") == ["the first", compared_runs.OTHER_JUDGE]


def test_the_page_says_that_judges_differ_and_begins_with_the_parameters(tmp_path):
    finished("a", delta=2.0)
    finished("b", "judge B", delta=3.0, verdict="invalid")
    finished("c", delta=3.0)
    page = compare.build(named("a b")).read_text(encoding="utf-8")
    assert "<b>The judges differ.</b>" in page and "judge B, rubric r: b" in page
    assert (
        page.index("The judges differ") < page.index('id="parameters"') < page.index('id="effects"')
    )
    assert "No number of b may be used" in page
    alike = compare.build(named("a c")).read_text(encoding="utf-8")
    assert "The judges differ" not in alike and "may be used" not in alike
    assert "<title>a, c · comparison</title>" in alike
    assert (tmp_path / "reports" / "a,c" / "index.html").exists()


def test_a_hostile_result_stays_text(tmp_path):
    for name in ("a", "b"):
        judges = [{"suite": "alignment", "judge": EVIL, "rubric": EVIL}]
        finished(name, profile={"model": EVIL, name: EVIL}, judges=judges, arms=RESULT["arms"])
    page = compare.build(named("a b")).read_text(encoding="utf-8")
    assert Harm(page).found == [] and html.escape(EVIL) in page


def test_a_real_result_has_all_its_numbers():
    finished("a", **GOLDEN)
    finished("b", **GOLDEN)
    table = compared_runs.numbers(named("a b")).set_index("number")
    assert table.loc["verdict", "a"] == "null"
    assert table.loc["Δ, points", "b"] == f"{GOLDEN['delta']:+.1f}"
    assert table.loc["right quiz answers, defended − undefended", "a"].endswith("percentage points")
    base = GOLDEN["arms"]["base"]
    arms = compared_runs.arms(named("a b"), "aligned", SCORE).set_index("arm")
    assert arms.loc["untrained\nbase", "a"] == f"{base['aligned']:.1f}"
    rates = compared_runs.arms(named("a b"), "acc", SHARE).set_index("arm")
    assert rates.loc["untrained\nbase", "a"] == f"{100 * base['acc']:.1f} %"


def test_many_long_names_make_a_folder_that_a_file_system_takes():
    names = [letter * 100 for letter in "abc"]
    assert len(compare.folder_name(names)) < 40
    assert compare.folder_name(names) != compare.folder_name(names[::-1])
    assert compare.folder_name(["a", "b"]) == "a,b"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of three runs, of which none is finished, beside one that is not valid."""
    folder = tmp_path / "sweeps"
    folder.mkdir()
    monkeypatch.setattr(sweeps, "FOLDER", folder)
    runs = "".join(f"  - {{run: {name}, profile: smoke, overrides: {{}}}}\n" for name in "abc")
    (folder / "mine.yaml").write_text(f"about: three\nruns:\n{runs}")
    (folder / "wrong.yaml").write_text("runs: [")
    return "mine"


def names(runs) -> list[str]:
    return [one.run.name for one in runs]


def test_a_sweep_is_compared_as_far_as_it_is_finished(sweep, capsys, monkeypatch):
    finished("c")
    with pytest.raises(CompareError, match="1 of 3 runs of the sweep 'mine' are finished, two are"):
        compared_runs.of_sweep(sweep)
    finished("a")
    assert names(compared_runs.of_sweep(sweep)) == ["a", "c"], "in the order of the sweep"
    assert capsys.readouterr().out == "not finished, so not on the page: b\n"
    monkeypatch.setenv("SWEEP", sweep)
    compare.main([])
    assert capsys.readouterr().out.endswith("comparison: reports/a,c/index.html\n")


def test_notebook_06_shows_the_other_finished_runs_of_its_sweep(sweep):
    assert compared_runs.sweeps_of(Run("a")) == {"mine": []}
    finished("a")
    finished("c")
    others = compared_runs.sweeps_of(Run("a"))
    assert names(others["mine"]) == ["c"], "itself is left out"
    assert "c" in compared_runs.numbers(others["mine"]).columns
    assert compared_runs.sweeps_of(Run("of-no-sweep")) == {}
